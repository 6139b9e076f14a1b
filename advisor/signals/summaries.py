"""Summaries of series as logged, for signals, in a form that grows with a stream.

A log of any length is summed up in bounded memory: counts, first and last places, the longest
stretch of one value. Summing up in one go or piece by piece gives the same result.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from advisor.run import FloatArray, IntArray, Series

MOST = 65536  # places of non-finite values; beyond it every other place is dropped
NEAR = 5  # points kept before a first zero


def _no_places() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _no_values() -> FloatArray:
    return np.zeros(0)


def _first(
    steps: IntArray, values: FloatArray, finite: NDArray[np.bool_]
) -> tuple[int, float] | None:
    if not finite.any():
        return None
    i = int(np.argmax(finite))
    return int(steps[i]), float(values[i])


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive points: their count, the first one's step and value, the last one's step."""

    count: int = 0
    step: int = 0
    value: float = 0.0
    last_step: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The summary of a series: ``bad`` are non-finite values, by index and step; ``zeros`` are
    those of exactly 0."""

    count: int = 0
    last_step: int = 0
    last_value: float = 0.0
    first: tuple[int, float] | None = None  # step and value of the first finite point
    recent: FloatArray = field(default_factory=_no_values)
    bad: int = 0
    bad_at: IntArray = field(default_factory=_no_places)
    bad_steps: IntArray = field(default_factory=_no_places)
    bad_values: FloatArray = field(default_factory=_no_values)
    bad_last_step: int = 0
    weight: int = 1  # bad values per kept place
    bad_tail: Stretch = Stretch()  # non-finite values at the end
    zeros: int = 0
    zero_step: int = 0  # step of the first zero; below, the values just before it
    before_zero: FloatArray = field(default_factory=_no_values)
    longest: Stretch = Stretch()  # longest stretch of one value
    same: Stretch = Stretch()  # stretch of one value at the end of the log

    def then(self, steps: IntArray, values: FloatArray) -> Points:
        """Return the summary of these points followed by further ones."""
        if not values.size:
            return self
        finite = np.isfinite(values)
        longest, same = self._longest(steps, values, finite)
        zero = self._zeros(steps, values)
        out = self._bad(steps, values, finite)
        return replace(
            out,
            count=self.count + values.size,
            last_step=int(steps[-1]),
            last_value=float(values[-1]),
            first=self.first or _first(steps, values, finite),
            recent=np.append(self.recent, values[-NEAR:])[-NEAR:],
            zeros=zero.zeros,
            zero_step=zero.zero_step,
            before_zero=zero.before_zero,
            longest=longest,
            same=same,
        )

    def bad_after(self, index: int) -> tuple[int, int | None]:
        """Return the number of non-finite values from an index on, and the place of the first among
        the kept places."""
        at = int(np.searchsorted(self.bad_at, index))
        kept = self.bad_at.size - at
        if not kept:
            return 0, None
        return (kept if self.weight == 1 else min(self.bad, kept * self.weight)), at

    def cut_at(self, step: int, finite: int) -> Points:
        """Return the summary without the points after a step, but with ``finite`` good points."""
        keep = int(np.searchsorted(self.bad_steps, step, side="right"))
        bad = min(self.bad, keep * self.weight)
        return replace(
            self,
            count=finite + bad,
            last_step=step,
            first=self.first if self.first and self.first[0] <= step else None,
            bad=bad,
            bad_at=self.bad_at[:keep],
            bad_steps=self.bad_steps[:keep],
            bad_values=self.bad_values[:keep],
            bad_last_step=int(self.bad_steps[keep - 1]) if keep else 0,
            bad_tail=Stretch(),
        )

    def _bad(self, steps: IntArray, values: FloatArray, finite: NDArray[np.bool_]) -> Points:
        found = np.flatnonzero(~finite)
        if not found.size:
            return replace(self, bad_tail=Stretch())
        alive = np.flatnonzero(finite)
        start = int(alive[-1]) + 1 if alive.size else 0
        old = self.bad_tail if not alive.size else Stretch()
        tail = Stretch()
        if start < values.size:
            many = values.size - start
            tail = Stretch(many, int(steps[start]), float(values[start]), int(steps[-1]))
            if old.count:
                tail = replace(old, count=old.count + many, last_step=int(steps[-1]))
        weight, kept = self.weight, found[:: self.weight]
        places = np.append(self.bad_at, self.count + kept)
        at_steps = np.append(self.bad_steps, steps[kept])
        bad_values = np.append(self.bad_values, values[kept])
        while self.count and places.size > MOST:
            places, at_steps, bad_values = places[::2], at_steps[::2], bad_values[::2]
            weight *= 2
        return replace(
            self,
            bad=self.bad + found.size,
            bad_at=places,
            bad_steps=at_steps,
            bad_values=bad_values,
            bad_last_step=int(steps[found[-1]]),
            weight=weight,
            bad_tail=tail,
        )

    def _zeros(self, steps: IntArray, values: FloatArray) -> Points:
        found = np.flatnonzero(values == 0)
        if not found.size:
            return self
        if self.zeros:
            return replace(self, zeros=self.zeros + found.size)
        first = int(found[0])
        before = np.append(self.recent, values[max(0, first - NEAR) : first])[-NEAR:]
        return replace(self, zeros=found.size, zero_step=int(steps[first]), before_zero=before)

    def _longest(
        self, steps: IntArray, values: FloatArray, finite: NDArray[np.bool_]
    ) -> tuple[Stretch, Stretch]:
        """Return the longest stretch of one value (the first of several), and the one at the
        end."""
        repeats = (values[1:] == values[:-1]) & finite[1:]
        border = np.flatnonzero(~repeats) + 1
        starts = np.append(0, border)
        lengths = np.diff(np.append(starts, values.size))

        def stretch(k: int) -> Stretch:
            first, many = int(starts[k]), int(lengths[k])
            last = int(steps[first + many - 1])
            one = Stretch(many, int(steps[first]), float(values[first]), last)
            if k == 0 and self.count and finite[0] and values[0] == self.last_value:
                one = replace(self.same, count=self.same.count + many, last_step=last)
            return one

        longest = self.longest
        for one in (stretch(0), stretch(int(np.argmax(lengths)))):
            if one.count > longest.count:
                longest = one
        return longest, stretch(lengths.size - 1)


@dataclass(frozen=True, slots=True)
class Hidden:
    """Losses of exactly 0 beside a gradient norm that is not finite: how many, and where."""

    count: int = 0
    step: int = 0
    value: float = 0.0
    last_step: int = 0

    def then(self, other: Hidden) -> Hidden:
        if not (self.count and other.count):
            return other if other.count else self
        return replace(self, count=self.count + other.count, last_step=other.last_step)


def points_of(series: Series) -> Points:
    return Points().then(series.steps, series.values)


def hidden_in(loss: Series, grad: Series) -> Hidden:
    """Return the losses of 0 that a log filter wrote for NaN."""
    zero, broken = loss.values == 0, ~np.isfinite(grad.values)
    if not zero.any() or not broken.any():
        return Hidden()
    zeros = loss.steps[zero]
    steps, at, _ = np.intersect1d(
        zeros, grad.steps[broken], assume_unique=True, return_indices=True
    )
    if not steps.size:
        return Hidden()
    value = float(loss.values[zero][at[0]])
    return Hidden(int(steps.size), int(steps[0]), value, int(steps[-1]))
