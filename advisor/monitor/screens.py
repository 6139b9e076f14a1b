"""Cheap tests at every point: is there reason to look now, before the next look is due?

A screen never says that something is wrong: it only has the rules asked, so that a finding comes
at its own point and is the rule's own.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

# All lie below the limits of the rules that are asked: it is they who decide.
SPIKE_NOISES, SPIKE_SHARE = 4.0, 0.15
RISE_ERRORS, RISE_SHARE, RISE_OF_PAST = 4.0, 0.04, 1.3
DRIFT_SHARE = 0.02
GRAD_TIMES = 5.0
LR_JUMP = 0.15  # of the peak
WIDTH = 8  # points of a level
FEW = 5  # ... and so many at least
FORGET = 0.08  # weight of a new difference in the running noise
ERROR = 1.25 * 1.25 / 2  # standard error of a rise between two levels, in mean distances


@dataclass(slots=True)
class Level:
    """Median of the last few values, and the running noise of one value about it."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    order: list[float] = field(default_factory=list)
    noise: float = 0.0  # mean distance of a value from the median before it
    count: int = 0

    @property
    def median(self) -> float:
        return self.order[len(self.order) // 2]

    def add(self, value: float) -> None:
        if len(self.recent) == WIDTH:
            del self.order[bisect_left(self.order, self.recent[0])]
        if self.recent:
            change = abs(value - self.median)
            # a jump is no noise: it counts as four noises at most
            change = min(change, 4 * self.noise) if len(self.recent) >= FEW else change
            self.count += 1
            self.noise += max(FORGET, 1 / self.count) * (change - self.noise)
        self.recent.append(value)
        insort(self.order, value)


@dataclass(slots=True)
class Height:
    """How far the level stands above the lowest one before it, now and at most so far."""

    lowest: float = math.inf  # of all levels that share no point with the present one
    lately: deque[float] = field(default_factory=deque)
    now: float = 0.0
    peak: float = 0.0  # of the present rise
    past: float = 0.0  # the largest rise that was undone

    def add(self, level: float) -> None:
        if len(self.lately) == WIDTH:
            self.lowest = min(self.lowest, self.lately.popleft())
        self.lately.append(level)
        self.now = level - self.lowest if self.lowest < math.inf else 0.0
        self.peak = max(self.peak, self.now)
        if self.now <= self.peak / 3:
            self.past, self.peak = max(self.past, self.peak), max(self.now, 0.0)


@dataclass(slots=True)
class Screens:
    """What the last points look like; ``check`` returns why to look now, '' for no reason."""

    loss: Level = field(default_factory=Level)
    height: Height = field(default_factory=Height)
    grad: Level = field(default_factory=Level)
    lr_peak: float = 0.0
    lr: float = math.nan

    def see_loss(self, value: float) -> str:
        if not math.isfinite(value):
            return "nonfinite"
        if value == 0:
            return "zero"
        level, why = self.loss, ""
        if len(level.recent) >= FEW:
            usual = level.median
            # early on the noise still holds the first fall: there the last few values tell
            low, high = level.order[0], level.order[-1]
            beyond = value - usual > SPIKE_NOISES * level.noise or value - high > high - low
            if beyond and value - usual > SPIKE_SHARE * abs(usual):
                why = "spike"
        level.add(value)
        if len(level.order) < FEW:
            return why
        self.height.add(level.median)
        return why or self._rise(level)

    def _rise(self, level: Level) -> str:
        """'rise' where it goes beyond noise and beyond all that was undone, or 'drift'."""
        height = self.height
        least = abs(height.lowest) if height.lowest < math.inf else math.inf
        if (
            height.now > max(RISE_ERRORS * ERROR * level.noise, RISE_SHARE * least)
            and height.now > RISE_OF_PAST * height.past
            and level.order[0] > height.lowest
        ):
            return "rise"
        return "drift" if height.now > DRIFT_SHARE * least else ""

    def see_grad(self, value: float) -> str:
        if not math.isfinite(value):
            return "nonfinite"
        level, why = self.grad, ""
        if len(level.recent) >= FEW and value > GRAD_TIMES * level.median > 0:
            why = "gradient"
        level.add(value)
        return why

    def see_lr(self, value: float) -> str:
        before, self.lr = self.lr, value
        self.lr_peak = max(self.lr_peak, value)
        sudden = abs(value - before) > LR_JUMP * self.lr_peak
        return "rate" if sudden and self.lr_peak > 0 else ""
