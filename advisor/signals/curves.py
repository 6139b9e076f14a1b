"""A Run as curves of at most a few thousand points, which every signal works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from advisor.run import Run, Series
from advisor.signals import robust
from advisor.signals.best import lowest_of
from advisor.signals.robust import Array
from advisor.signals.summaries import Hidden, Points, hidden_in, points_of

FEW = 10  # points; with fewer the noise is poorly known
LIMIT = 4096  # points a signal works on; longer series are averaged in buckets of 2**k


@dataclass(frozen=True, slots=True)
class Blocks:
    """Finite points in consecutive blocks of ``size`` (a power of two); the last may hold fewer.

    All arrays have shape ``(n,)``: ``sums`` and ``high`` of a block's values, ``last`` its last
    value, ``steps`` and ``epochs`` of that last value.
    """

    size: int
    sums: Array
    high: Array
    last: Array
    steps: Array
    epochs: Array | None

    def __len__(self) -> int:
        return int(self.sums.size)

    def regroup(self, size: int) -> Blocks:
        """Return the same points in larger blocks.

        Sums are added in pairs, then pairs of pairs: a stream that merges in two goes gets the same
        bits as a log that merges in one.
        """
        if size == self.size or not len(self):
            return Blocks(size, self.sums, self.high, self.last, self.steps, self.epochs)
        sums, many = self.sums, size // self.size
        for _ in range(many.bit_length() - 1):
            if sums.size % 2:
                sums = np.append(sums, 0.0)
            sums = sums[0::2] + sums[1::2]
        starts = np.arange(0, len(self), many)
        ends = np.append(starts[1:], len(self)) - 1
        epochs = None if self.epochs is None else self.epochs[ends]
        high = np.maximum.reduceat(self.high, starts)
        return Blocks(size, sums, high, self.last[ends], self.steps[ends], epochs)

    def extend(self, other: Blocks) -> Blocks:
        """Return the blocks of both; those of ``self`` must all be full."""
        pairs = zip(self.arrays(), other.arrays(), strict=True)
        sums, high, last, steps = (np.concatenate(pair) for pair in pairs)
        epochs = None
        if self.epochs is not None or other.epochs is not None:
            each = (
                np.full(len(b), np.nan) if b.epochs is None else b.epochs for b in (self, other)
            )
            epochs = np.concatenate(list(each))
        return Blocks(self.size, sums, high, last, steps, epochs)

    def arrays(self) -> tuple[Array, Array, Array, Array]:
        return self.sums, self.high, self.last, self.steps


def blocks_of(steps: Array, values: Array, epochs: Array | None) -> Blocks:
    """Return finite points as blocks of one point each."""
    return Blocks(1, values, values, values, steps, epochs)


def block_size(points: int) -> int:
    """Return how many points a block holds: the smallest power of two that fits LIMIT blocks."""
    return 1 << max(0, (points - 1) // LIMIT).bit_length()


@dataclass(frozen=True, eq=False)  # no slots: cached_property needs a __dict__
class Curve:
    """Finite points of one Series, decimated: all arrays have shape ``(n,)``.

    ``y`` is a bucket's mean, ``high`` its maximum, ``last`` its last value (a rate's jump stays
    one); ``steps`` is its last step. Buckets are Blocks of ``bucket`` points.
    """

    name: str
    steps: Array
    y: Array
    high: Array
    last: Array
    epochs: Array | None
    points: int  # in the log
    nonfinite: int
    bucket: int

    def __len__(self) -> int:
        return int(self.y.size)

    @cached_property
    def noise(self) -> float:
        return robust.local_noise(self.y) * self.doubt

    @cached_property
    def spread(self) -> float:
        if len(self) < FEW:  # the running median of so few points is not a level
            return self.noise
        return robust.noise_around_median(self.y, self.slow)

    @property
    def doubt(self) -> float:
        """Return how much wider the noise may be than a handful of points show: up to 2."""
        return 1 + max(0, FEW - len(self)) / 5

    @cached_property
    def persistence(self) -> float:
        return robust.persistence(self.y, self.slow)

    @cached_property
    def smooth(self) -> Array:
        return robust.running_median(self.y, robust.window_for(len(self), low=3))

    @cached_property
    def slow(self) -> Array:
        same = robust.window_for(len(self), 0.2) == robust.window_for(len(self), low=3)
        return self.smooth if same else robust.slow_level(self.y)

    def at(self, index: int) -> int:
        return int(self.steps[index])


def curve_of(series: Series | None, name: str) -> Curve:
    """Decimate a Series into a Curve; an absent Series gives an empty one."""
    if series is None:
        empty = np.empty(0)
        return Curve(name, empty, empty, empty, empty, None, 0, 0, 1)
    finite = np.isfinite(series.values)
    epochs = None if series.epochs is None else series.epochs[finite]
    blocks = blocks_of(series.steps[finite].astype(float), series.values[finite], epochs)
    return curve_from(blocks, name, len(blocks), len(series))


def curve_from(blocks: Blocks, name: str, finite: int, points: int) -> Curve:
    """Return the Curve of Blocks that hold ``finite`` of a log's ``points``."""
    size = max(block_size(finite), blocks.size)
    blocks = blocks.regroup(size)
    y = blocks.sums
    if size > 1:
        counts = np.full(len(blocks), float(size))
        counts[-1] = finite - size * (len(blocks) - 1)
        y = y / counts
    return Curve(
        name, blocks.steps, y, blocks.high, blocks.last, blocks.epochs,
        points, points - finite, size,
    )  # fmt: skip


class View:
    """A Run and its Curves, each built once and kept for all signals."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.memo: dict[str, object] = {}

    def series(self, name: str) -> Series | None:
        return self.run.series.get(name)

    def points(self, name: str) -> Points | None:
        """Return the summary of a Series as logged; None where it is absent."""
        key = "points " + name
        found = self.memo.get(key)
        if not isinstance(found, Points):
            series = self.series(name)
            if series is None or not len(series):
                return None
            found = self.memo[key] = points_of(series)
        return found

    def first(self, name: str) -> tuple[int, float] | None:
        """Return step and value of the first finite point, None where there is none."""
        points = self.points(name)
        return None if points is None else points.first

    def lowest(self, name: str) -> tuple[int, float] | None:
        """Return step and value of the lowest point, as the header of a report states it."""
        return lowest_of(self.run, name)

    def peak(self, curve: Curve, index: int) -> tuple[int, float]:
        """Return step and value of the highest point of a bucket, as logged."""
        end, value, series = curve.at(index), float(curve.high[index]), self.series(curve.name)
        if curve.bucket == 1 or series is None:
            return end, value
        after = curve.at(index - 1) if index else -1
        inside = (series.steps > after) & (series.steps <= end)
        hit = np.flatnonzero(inside & (series.values == value))
        return (int(series.steps[hit[0]]), value) if hit.size else (end, float(curve.last[index]))

    def hidden_nan(self) -> Hidden | None:
        """Return losses of 0 beside a non-finite gradient norm; None where either series is
        absent."""
        loss, grad = self.series("train/loss"), self.series("train/grad_norm")
        return None if loss is None or grad is None else hidden_in(loss, grad)

    def curve(self, name: str) -> Curve:
        """Return the Curve of a Series by its canonical name; empty where it is absent."""
        found = self.memo.get(name)
        if not isinstance(found, Curve):
            found = self.memo[name] = curve_of(self.series(name), name)
        return found

    @property
    def loss(self) -> Curve:
        return self.curve("train/loss")

    @property
    def eval(self) -> Curve:
        return self.curve("eval/loss")

    @property
    def grad(self) -> Curve:
        return self.curve("train/grad_norm")

    @property
    def lr(self) -> Curve:
        return self.curve("train/lr")

    @property
    def config(self) -> Mapping[str, object]:
        return self.run.config.values
