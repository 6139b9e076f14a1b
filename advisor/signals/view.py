"""A Run seen through curves of at most a few thousand points: what every signal works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from advisor.run import Run, Series
from advisor.signals import robust
from advisor.signals.robust import Array

LIMIT = 4096  # points a signal works on; longer series are averaged in buckets of 2**k


@dataclass(frozen=True, eq=False)  # no slots: cached_property needs a __dict__
class Curve:
    """Finite points of one Series, decimated: all arrays have shape ``(n,)``.

    ``y`` is a bucket's mean, ``high`` its maximum, ``last`` its last value (a rate's jump stays
    one); ``steps`` is its last step. Buckets hold
    2**k points with the smallest k that fits LIMIT, so a stream can build the same ones.
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
        return robust.local_noise(self.y)

    @cached_property
    def spread(self) -> float:
        return robust.detrended_noise(self.y)

    @cached_property
    def persistence(self) -> float:
        return robust.persistence(self.y)

    @cached_property
    def smooth(self) -> Array:
        return robust.running_median(self.y, robust.window_for(len(self)))

    def at(self, index: int) -> int:
        return int(self.steps[index])


def curve_of(series: Series | None, name: str) -> Curve:
    """Decimate a Series into a Curve; an absent Series gives an empty one."""
    if series is None:
        empty = np.empty(0)
        return Curve(name, empty, empty, empty, empty, None, 0, 0, 1)
    finite = np.isfinite(series.values)
    steps = series.steps[finite].astype(float)
    values = series.values[finite]
    epochs = None if series.epochs is None else series.epochs[finite]
    n = values.size
    bucket = 1
    while n > bucket * LIMIT:
        bucket *= 2
    high = last = values
    if bucket > 1:
        starts = np.arange(0, n, bucket)
        counts = np.diff(np.append(starts, n))
        ends = starts + counts - 1
        high, last = np.maximum.reduceat(values, starts), values[ends]
        values = np.add.reduceat(values, starts) / counts
        steps, epochs = steps[ends], None if epochs is None else epochs[ends]
    bad = len(series) - n
    return Curve(name, steps, values, high, last, epochs, len(series), bad, bucket)


class View:
    """A Run and its Curves, each built once and kept for all signals."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.memo: dict[str, object] = {}

    def series(self, name: str) -> Series | None:
        return self.run.series.get(name)

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
