"""Cheap tests at every point: is there reason to look now, before the next look is due?

A screen never says that something is wrong: it only has the rules asked, so that a finding comes
at its own point and is the rule's own.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field

SPIKE_NOISES, SPIKE_SHARE = 5.0, 0.15  # below the rules' own limits: rules decide
RISE_NOISES, RISE_SHARE = 3.0, 0.02
GRAD_TIMES = 5.0
LR_JUMP = 0.15  # of the peak
WIDTH = 9  # points of a level
FORGET = 0.05  # weight of a new difference in the running noise


@dataclass(slots=True)
class Level:
    """Median of the last few values, and the running noise of one value about it."""

    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WIDTH))
    order: list[float] = field(default_factory=list)
    noise: float = 0.0
    best: float = math.inf

    @property
    def median(self) -> float:
        return self.order[len(self.order) // 2]

    def add(self, value: float) -> None:
        if len(self.recent) == WIDTH:
            del self.order[bisect_left(self.order, self.recent[0])]
        if self.recent:
            change = abs(value - self.median)
            # a jump is no noise: it counts as four noises at most
            change = min(change, 4 * self.noise) if len(self.recent) > 4 else change
            self.noise += max(FORGET, 1 / (len(self.recent) + 1)) * (change - self.noise)
        self.recent.append(value)
        insort(self.order, value)
        if len(self.order) >= 5 and self.median < self.best:
            self.best = self.median


@dataclass(slots=True)
class Screens:
    """What the last points look like; ``check`` returns why to look now, '' for no reason."""

    loss: Level = field(default_factory=Level)
    grad: Level = field(default_factory=Level)
    lr_peak: float = 0.0
    lr: float = math.nan

    def see_loss(self, value: float) -> str:
        if not math.isfinite(value):
            return "nonfinite"
        if value == 0:
            return "zero"
        level, why = self.loss, ""
        if len(level.recent) >= 5:
            usual = level.median
            if value - usual > max(SPIKE_NOISES * level.noise, SPIKE_SHARE * abs(usual)):
                why = "spike"
        level.add(value)
        if not why and len(level.order) >= 5:
            above = level.median - level.best
            if above > max(RISE_NOISES * level.noise / 2, RISE_SHARE * abs(level.best)):
                why = "rise"
        return why

    def see_grad(self, value: float) -> str:
        if not math.isfinite(value):
            return "nonfinite"
        level, why = self.grad, ""
        if len(level.recent) >= 5 and value > GRAD_TIMES * level.median > 0:
            why = "gradient"
        level.add(value)
        return why

    def see_lr(self, value: float) -> str:
        before, self.lr = self.lr, value
        self.lr_peak = max(self.lr_peak, value)
        sudden = abs(value - before) > LR_JUMP * self.lr_peak
        return "rate" if sudden and self.lr_peak > 0 else ""
