"""Which samples stand together in a packed row: first fit, longest first, window by window.

Rows are packed once for a run, so that every epoch has the same number of steps; epochs differ
in the order of the rows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from train.errors import DataError

AUTO = -1
AUTO_PERCENTILE = 95
WINDOW = 4096  # samples; first fit is quadratic in it

Ints = NDArray[np.int64]


def packed_size(asked: int, lengths: Ints) -> int:
    """Return the tokens of a packed row; 'auto' is the 95th percentile of the samples' lengths."""
    if asked == AUTO:
        return percentile(lengths, AUTO_PERCENTILE) if len(lengths) else 0
    if asked < 0:
        raise DataError(f"packed_sequence.packed_sequence_size: {asked}; give tokens, 0 or auto")
    return asked


def percentile(lengths: Ints, percent: int) -> int:
    """Return the smallest length that at least this share of the samples does not exceed."""
    place = max(0, math.ceil(len(lengths) * percent / 100) - 1)
    return int(np.sort(lengths)[place])


def pack(lengths: Ints, size: int, order: Ints, window: int = WINDOW) -> list[Ints]:
    """Return rows of sample indices, each of at most ``size`` tokens; a longer sample stands alone.
    Samples of a row, and rows, are in the order of ``order``."""
    rows: list[Ints] = []
    for start in range(0, len(order), window):
        rows += _first_fit(order[start : start + window], lengths, size)
    return rows


def _first_fit(samples: Ints, lengths: Ints, size: int) -> list[Ints]:
    wanted = lengths[samples]
    space = np.full(len(samples), size, dtype=np.int64)
    members: list[list[int]] = []
    for at in np.argsort(-wanted, kind="stable").tolist():
        fits = space[: len(members) + 1] >= wanted[at]
        row = int(np.argmax(fits)) if fits.any() else len(members)
        if row == len(members):
            members.append([])
        members[row].append(at)
        space[row] -= wanted[at]
    ordered = sorted(sorted(row) for row in members)
    return [samples[row] for row in ordered]
