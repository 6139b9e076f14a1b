"""Rows of numbers found in a console log, grouped by shape so that a million of them fit memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NAN = float("nan")
LINE, STEP, TOTAL, EPOCH, BAR, BAR_TOTAL = range(6)  # columns of a place table

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowPlace:
    """The position of a row in the run; NaN for what its line does not state."""

    line: float
    step: float = NAN
    total: float = NAN  # the 4500 of 'step 100/4500'
    epoch: float = NAN
    bar: float = NAN  # the count of the progress bar seen last
    bar_total: float = NAN  # the end of that bar


@dataclass(slots=True)
class Block:
    """All rows of one shape: the same keys in the same kind of line."""

    kind: str  # 'dict', 'pairs', 'bare', 'progress', 'table' or 'section'
    split: str  # 'eval' or 'eval/<set>'; '' where the keys themselves state the side
    keys: tuple[str, ...]
    writer: str = ""  # the prefix of the process that wrote the rows, if lines have one
    flat: array[float] = field(default_factory=lambda: array("d"))  # rows x keys
    places: array[float] = field(default_factory=lambda: array("d"))  # rows x 6

    def add(self, values: Iterable[float], place: RowPlace) -> None:
        """Add one row, with a value for each of the keys."""
        self.flat.extend(values)
        self.places.extend(
            (place.line, place.step, place.total, place.epoch, place.bar, place.bar_total)
        )

    def __len__(self) -> int:
        return len(self.places) // 6

    def table(self) -> Floats:
        """Return values as ``(rows, keys)``."""
        return np.array(self.flat, dtype=np.float64).reshape(len(self), len(self.keys))

    def place_table(self) -> Floats:
        """Return places as ``(rows, 6)``: line, step, total, epoch, bar, bar_total."""
        return np.array(self.places, dtype=np.float64).reshape(-1, 6)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one block that belong to one run."""

    block: Block
    values: Floats  # (rows, keys)
    places: Floats  # (rows, 6)
    closing: bool = False  # means over epochs, logged at the step of the row before


@dataclass(slots=True)
class Rows:
    """The blocks of one log, by shape."""

    blocks: dict[tuple[str, str, tuple[str, ...], str], Block] = field(default_factory=dict)

    def block(self, kind: str, split: str, keys: Sequence[str], writer: str = "") -> Block:
        """Return the block of a shape, which is made on its first use."""
        shape = (kind, split, tuple(keys), writer)
        found = self.blocks.get(shape)
        if found is None:
            found = self.blocks[shape] = Block(*shape)
        return found
