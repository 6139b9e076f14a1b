"""Turning values at steps into Series: sorted by step, the last value of each step kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.run import FloatArray, IntArray, Series

LARGEST = 2.0**53  # larger steps are not exact in float64


@dataclass(frozen=True, slots=True)
class Placing:
    """The steps of a series, and the positions of their values."""

    steps: IntArray
    order: slice | IntArray  # positions in the series' own column
    dropped: int  # values of repeated steps
    rows: slice | IntArray  # positions in columns of all rows


def place(
    steps: FloatArray, between: tuple[int | None, int | None] | None = None
) -> Placing | None:
    """Return the steps sorted, the last of equal ones kept; None when nothing is left.

    ``between`` holds the first and the last step to keep, both included.
    """
    good = np.abs(steps) < LARGEST  # False for NaN, too
    clean = bool(good.all())
    whole = np.rint(steps if clean else steps[good]).astype(np.int64)
    order: slice | IntArray = slice(None) if clean else np.flatnonzero(good)
    count = whole.size
    if whole.size > 1 and not bool((whole[1:] > whole[:-1]).all()):
        sort = np.argsort(whole, kind="stable")
        whole = whole[sort]
        last = np.append(whole[1:] > whole[:-1], True)
        whole, order = whole[last], (sort if clean else np.flatnonzero(good)[sort])[last]
    dropped = count - whole.size
    if between is not None:
        low, high = between
        first = 0 if low is None else int(np.searchsorted(whole, low))
        end = whole.size if high is None else int(np.searchsorted(whole, high, side="right"))
        at = np.arange(steps.size)[order][first:end]
        whole, order = whole[first:end], at
    return Placing(whole, order, dropped, order) if whole.size else None


def series_at(
    placing: Placing,
    name: str,
    values: FloatArray,
    native: str = "",
    epochs: FloatArray | None = None,
    times: FloatArray | None = None,
) -> Series:
    """Return the Series of a column; ``epochs`` and ``times`` are columns of all rows."""
    epoch = None if epochs is None else epochs[placing.rows]
    return Series(
        name, placing.steps, values[placing.order],
        None if epoch is None or not np.isfinite(epoch).any() else epoch,
        None if times is None else times[placing.rows], native, placing.dropped,
    )  # fmt: skip


def make_series(
    name: str,
    steps: FloatArray,
    values: FloatArray,
    native: str = "",
    epochs: FloatArray | None = None,
    times: FloatArray | None = None,
    between: tuple[int | None, int | None] | None = None,
) -> Series | None:
    """Return the Series of one column with steps of its own; None when nothing is left."""
    placing = place(steps, between)
    return None if placing is None else series_at(placing, name, values, native, epochs, times)
