"""The health of the last steps: loss at its level, above it, or not finite."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from statistics import median

_RECENT, _LEVELS, _SMOOTH, _FEW = 50, 200, 5, 8
_ABOVE = 4.0  # this many noises above its lowest level the loss is no longer at it
_FLOOR, _UNSURE = 0.02, 0.1  # the least noise, and that of the first points, of the level
_GRADIENT = 10.0  # times its median: the guide's own limit for a gradient that explodes


class Health:
    """Takes every step. ``bad`` and ``above`` count steps in a row."""

    def __init__(self) -> None:
        self.bad = 0  # no finite loss or gradient
        self.above = 0  # the loss lies above its level
        self.since: int | None = None  # where the row of either began
        self._losses: deque[float] = deque(maxlen=_RECENT)
        self._levels: deque[float] = deque(maxlen=_LEVELS)
        self._norms: deque[float] = deque(maxlen=_RECENT)

    def add(self, step: int, loss: float, norm: float) -> None:
        """Take a step's loss and gradient norm."""
        before = self.bad + self.above
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self.bad += 1
        else:
            self.bad = 0
            self._level(loss)
            self._norms.append(norm)
        if not self.bad + self.above:
            self.since = None
        elif not before:
            self.since = step

    def _level(self, loss: float) -> None:
        high = bool(self._losses) and loss > self._limit()
        self.above = self.above + 1 if high else 0
        if self.above > _RECENT:  # where it stays it is at home, and a new level begins
            self._losses.clear()
            self._levels.clear()
            self.above = 0
        if not self.above:  # what lies above must not make itself look like noise
            self._losses.append(loss)
            self._levels.append(median(list(self._losses)[-_SMOOTH:]))

    def _limit(self) -> float:
        low, losses = min(self._levels), list(self._losses)
        if len(losses) < _FEW:
            return low + _ABOVE * _UNSURE * abs(low)
        # of two neighbours both are noisy: 1.4826 / sqrt(2) makes a deviation of their distance
        noise = 1.05 * median(abs(a - b) for a, b in pairwise(losses))
        return low + _ABOVE * max(noise, _FLOOR * abs(low))

    @property
    def well(self) -> bool:
        """Return whether a state of now is worth saving for a rollback."""
        if self.bad or self.above or not self._losses or self._levels[-1] > self._limit():
            return False
        norms = list(self._norms)
        return norms[-1] <= _GRADIENT * median(norms)
