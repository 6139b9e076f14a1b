"""One metric of a stream in bounded memory: recent points one by one, older ones in blocks."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np

from advisor.run import FloatArray, IntArray, Series
from advisor.signals.curves import Blocks, Curve, block_size, blocks_of, curve_from
from advisor.signals.summaries import Points

RING = 65536  # recent points kept one by one
SLACK = 8192  # further points before the oldest go into blocks
FINER = 4  # old blocks are this many times smaller than the curve's: later points may be NaN


@dataclass(slots=True)
class EarlierPoints:
    """The points that have left the ring: finite ones in full blocks, and a summary of all."""

    blocks: Blocks
    points: Points = field(default_factory=Points)  # summary of all points, finite or not
    finite: int = 0  # number of finite points
    marks: dict[int, float] = field(default_factory=dict)  # step -> value: extremes of each block
    has_epoch: bool = False

    def count_taken(self, finite: int) -> tuple[int, int]:
        """Return how many of ``finite`` more points fill whole blocks, and the size of a block."""
        size = max(self.blocks.size, block_size(self.finite + RING) // FINER, 1)
        return max(0, (self.finite + finite) // size * size - self.finite), size

    def add(
        self, steps: IntArray, values: FloatArray, epochs: FloatArray | None, size: int
    ) -> None:
        """Add points, shape (n,) each; the finite ones must complete blocks of ``size``."""
        good = np.isfinite(values)
        self.points = self.points.then(steps, values)
        self.has_epoch = self.has_epoch or (epochs is not None and bool(np.isfinite(epochs).any()))
        fresh = blocks_of(
            steps[good].astype(float), values[good], None if epochs is None else epochs[good]
        )
        if len(self.blocks):
            fresh = self.blocks.extend(fresh.regroup(self.blocks.size))
        self.blocks = fresh.regroup(size)
        self.finite += int(good.sum())
        self._mark(steps[good], values[good], size)

    def _mark(self, steps: IntArray, values: FloatArray, size: int) -> None:
        starts = np.arange(0, values.size, size)
        parts = [slice(int(i), int(i) + size) for i in starts]
        for part in parts:
            for at in (int(values[part].argmin()), int(values[part].argmax())):
                self.marks[int(steps[part.start + at])] = float(values[part.start + at])
        while len(self.marks) > 2 * RING:
            self._thin()

    def _thin(self) -> None:
        """Halve the marks: keep the lowest and the highest of every four."""
        found = sorted(self.marks.items())
        kept: dict[int, float] = {}
        for i in range(0, len(found), 4):
            four = found[i : i + 4]
            kept.update((min(four, key=_value), max(four, key=_value)))
        self.marks = kept


def _value(mark: tuple[int, float]) -> float:
    return mark[1]


def _no_past() -> EarlierPoints:
    empty = np.empty(0)
    return EarlierPoints(Blocks(1, empty, empty, empty, empty, None))


@dataclass(slots=True)
class Column:
    """The points of one native name; a later value of a step replaces the earlier one."""

    native: str
    steps: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    epochs: array[float] | None = None
    dropped: int = 0
    past: EarlierPoints = field(default_factory=_no_past)

    def add(self, step: int, value: float, epoch: float | None) -> None:
        """Add one point."""
        steps = self.steps
        if not steps or step > steps[-1]:
            if not steps and self.past.points.count and step <= self.past.points.last_step:
                self._go_back(step)
            steps.append(step)
            self.values.append(value)
            self._add_epoch(len(steps) - 1, epoch, new=True)
            return
        at = len(steps) - 1 if step == steps[-1] else bisect_left(steps, step)
        if at == 0 and step < steps[0] and self.past.points.count:
            if step <= self.past.points.last_step:
                self._go_back(step)
            self.add(step, value, epoch)
            return
        if steps[at] == step:
            self.values[at] = value
            self.dropped += 1
            self._add_epoch(at, epoch, new=False)
        else:
            steps.insert(at, step)
            self.values.insert(at, value)
            self._add_epoch(at, epoch, new=True)

    def _add_epoch(self, at: int, epoch: float | None, new: bool) -> None:
        if self.epochs is None:
            if epoch is None:
                return
            self.epochs = array("d", [float("nan")]) * (len(self.steps) - new)
        known = float("nan") if epoch is None else epoch
        if new:
            self.epochs.insert(at, known)
        else:
            self.epochs[at] = known

    def _go_back(self, step: int) -> None:
        """Forget all points from ``step`` on: the run went back to before the ring."""
        past, keep = self.past, 0
        if len(past.blocks):
            keep = int(np.searchsorted(past.blocks.steps, step))
        b = past.blocks
        epochs = None if b.epochs is None else b.epochs[:keep]
        past.blocks = Blocks(
            b.size, b.sums[:keep], b.high[:keep], b.last[:keep], b.steps[:keep], epochs
        )
        past.marks = {s: v for s, v in past.marks.items() if s < step}
        past.finite = keep * b.size
        past.points = past.points.cut_at(step - 1, past.finite)
        del self.steps[:], self.values[:]
        if self.epochs is not None:
            del self.epochs[:]

    @property
    def count(self) -> int:
        """Number of all points, recent and older."""
        return self.past.points.count + len(self.steps)

    def is_full(self) -> bool:
        """Return whether it is time to ``seal`` older points."""
        return len(self.steps) >= RING + SLACK

    def seal(self, border: int) -> None:
        """Move the points up to step ``border`` into blocks, as far as they fill whole ones."""
        end = bisect_left(self.steps, border + 1)
        steps, values, epochs = self._arrays(end)
        total = np.cumsum(np.isfinite(values))
        whole, size = self.past.count_taken(int(total[-1]) if total.size else 0)
        if not whole:
            return
        cut = int(np.searchsorted(total, whole)) + 1
        self.past.add(steps[:cut], values[:cut], None if epochs is None else epochs[:cut], size)
        del self.steps[:cut], self.values[:cut]
        if self.epochs is not None:
            del self.epochs[:cut]

    def _arrays(self, end: int | None = None) -> tuple[IntArray, FloatArray, FloatArray | None]:
        """Return steps, values and epochs, (n,) each, as copies: an array with a view of it cannot
        grow."""
        steps = np.array(self.steps[:end] if end is not None else self.steps, dtype=np.int64)
        values = np.array(self.values[:end] if end is not None else self.values)
        epochs = None
        if self.epochs is not None:
            epochs = np.array(self.epochs[:end] if end is not None else self.epochs)
        return steps, values, epochs

    def series(self, name: str) -> Series:
        """Return the Series of all recent points and the extremes of each older block."""
        steps, values, epochs = self._arrays()
        if self.past.marks:
            marks = sorted(self.past.marks.items())
            old = np.array([s for s, _ in marks], dtype=np.int64)
            steps = np.concatenate([old, steps])
            values = np.concatenate([np.array([v for _, v in marks]), values])
            if epochs is not None:
                epochs = np.concatenate([np.full(len(marks), np.nan), epochs])
        if epochs is not None and not np.isfinite(epochs).any():
            epochs = None
        return Series(name, steps, values, epochs, None, self.native, self.dropped)

    def points(self) -> Points:
        """Return the summary of all points."""
        steps, values, _ = self._arrays()
        return self.past.points.then(steps, values)

    def curve(self, name: str) -> Curve:
        """Return the Curve that ``curve_of`` would make of all points, recent and older."""
        steps, values, epochs = self._arrays()
        finite = np.isfinite(values)
        past = self.past
        if epochs is not None and not (past.has_epoch or np.isfinite(epochs).any()):
            epochs = None
        recent = blocks_of(
            steps[finite].astype(float), values[finite], None if epochs is None else epochs[finite]
        )
        blocks = recent
        if len(past.blocks):
            blocks = past.blocks.extend(recent.regroup(past.blocks.size))
        count = past.finite + int(finite.sum())
        return curve_from(blocks, name, count, self.count)
