"""Cheap tests at every point: is there a reason to look before the next look is due?

A screen never reports anything: it only makes the rules run early, so that a finding comes at the
right point and always from a rule.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

# All limits lie below those of the rules, which decide.
SPIKE_NOISES, SPIKE_SHARE = 4.0, 0.15
RISE_ERRORS, RISE_SHARE, RISE_OF_PAST = 4.0, 0.04, 1.3
DRIFT_SHARE = 0.02
GRAD_TIMES = 5.0
LR_JUMP = 0.15  # share of the peak rate
WIDTH = 8  # points of a level's median
FEW = 5  # points that a level needs
FORGET = 0.08  # weight of the newest difference in the running noise
# Standard error of a rise between two levels, in mean absolute deviations: 1.25 from those to a
# standard deviation, 1.25 for medians, over sqrt(8 / 2) points.
ERROR = 1.25 * 1.25 / 2


@dataclass(slots=True)
class Level:
    """The median of the last few values, and a running estimate of the noise around it."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))  # as they came
    order: list[float] = field(default_factory=list)  # the same, sorted
    noise: float = 0.0  # mean absolute distance of a value from the median before it
    count: int = 0  # of distances

    @property
    def median(self) -> float:
        """Median of the recent values; needs at least one."""
        return self.order[len(self.order) // 2]

    def add(self, value: float) -> None:
        """Take a value, and update the noise."""
        if len(self.recent) == WIDTH:
            del self.order[bisect_left(self.order, self.recent[0])]
        if self.recent:
            change = abs(value - self.median)
            # a jump is not noise: it counts as at most four noises
            change = min(change, 4 * self.noise) if len(self.recent) >= FEW else change
            self.count += 1
            self.noise += max(FORGET, 1 / self.count) * (change - self.noise)
        self.recent.append(value)
        insort(self.order, value)


@dataclass(slots=True)
class Height:
    """How far the level stands above the lowest one before it: now, and at its largest."""

    lowest: float = math.inf  # of all levels that share no point with the present one
    lately: deque[float] = field(default_factory=deque)  # levels that do share points with it
    now: float = 0.0  # present level minus the lowest
    peak: float = 0.0  # of the present rise
    past: float = 0.0  # the largest earlier rise that the loss recovered from

    def add(self, level: float) -> None:
        """Take the present level."""
        if len(self.lately) == WIDTH:
            self.lowest = min(self.lowest, self.lately.popleft())
        self.lately.append(level)
        self.now = level - self.lowest if self.lowest < math.inf else 0.0
        self.peak = max(self.peak, self.now)
        if self.now <= self.peak / 3:
            self.past, self.peak = max(self.past, self.peak), max(self.now, 0.0)


@dataclass(slots=True)
class Screens:
    """The state of all screens; every ``see_`` method returns a reason to look, or ''."""

    loss: Level = field(default_factory=Level)
    height: Height = field(default_factory=Height)  # of the loss
    grad: Level = field(default_factory=Level)  # gradient norm
    lr_peak: float = 0.0
    lr: float = math.nan  # of the last row

    def see_loss(self, value: float) -> str:
        """Take a training loss; return 'nonfinite', 'zero', 'spike', 'rise', 'drift' or ''."""
        if not math.isfinite(value):
            return "nonfinite"
        if value == 0:
            return "zero"
        level, why = self.loss, ""
        if len(level.recent) >= FEW:
            usual = level.median
            # early on the first fall still inflates the noise: use the range of the last values
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
        """Return 'rise' for one beyond the noise and all earlier recovered ones, or 'drift'."""
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
        """Take a gradient norm; return 'nonfinite', 'gradient' or ''."""
        if not math.isfinite(value):
            return "nonfinite"
        level, why = self.grad, ""
        if len(level.recent) >= FEW and value > GRAD_TIMES * level.median > 0:
            why = "gradient"
        level.add(value)
        return why

    def see_lr(self, value: float) -> str:
        """Take a learning rate; return 'rate' for a jump, or ''."""
        before, self.lr = self.lr, value
        self.lr_peak = max(self.lr_peak, value)
        sudden = abs(value - before) > LR_JUMP * self.lr_peak
        return "rate" if sudden and self.lr_peak > 0 else ""
