"""What happened in a run, in figures: read from what the training code told, not from the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """Losses as logged, held-out losses as logged, and of clean held-out rows before and after."""

    steps: Sequence[int]
    losses: Sequence[float]
    norms: Sequence[float]
    rates: Sequence[float]
    evals: Sequence[tuple[int, float]]
    before: float | None
    after: float | None
    ended: str

    @property
    def width(self) -> int:
        return max(1, len(self.losses) // 10)

    @property
    def start(self) -> float:
        return self.losses[0]

    @property
    def end(self) -> float:
        return mean(self.losses[-max(2, self.width) :])

    @property
    def low(self) -> float:
        return min(self.smooth)

    @property
    def smooth(self) -> list[float]:
        return [mean(self.losses[i : i + self.width])
                for i in range(len(self.losses) - self.width + 1)]  # fmt: skip

    @property
    def noise(self) -> float:
        """Robust deviation of single losses from the median of their neighbours."""
        return 1.48 * median(abs(value - near) for value, near in self._beside())

    def _beside(self) -> list[tuple[float, float]]:
        around = [self.losses[max(0, i - 3) : i + 4] for i in range(len(self.losses))]
        return [(value, median(near)) for value, near in zip(self.losses, around, strict=True)]

    @property
    def jumps(self) -> bool:
        """A loss after the first tenth stands half above its neighbours, and 8 noises."""
        late = self._beside()[self.width :]
        return any(value - near > max(0.5 * near, 8 * self.noise) for value, near in late)

    @property
    def blows_up(self) -> bool:
        """In the first half three losses in a row lie a quarter and 4 noises above the first."""
        half = self.losses[1 : max(4, len(self.losses) // 2)]
        limit = self.start + max(0.25 * self.start, 4 * self.noise)
        return any(min(half[i : i + 3]) > limit for i in range(len(half) - 2))

    @property
    def gain(self) -> float:
        """On clean held-out rows where they were asked before and after, else in training."""
        if self.before is not None and self.after is not None:
            return self.before - self.after
        return mean(self.losses[: min(3, self.width)]) - self.end

    @property
    def finite(self) -> bool:
        held = [value for _, value in self.evals]
        whole = sum(math.isfinite(norm) for norm in self.norms) >= 0.8 * len(self.norms)
        told = all(math.isfinite(value) for value in [*self.losses, *held])
        return whole and told and not self.hidden

    @property
    def hidden(self) -> bool:
        """A loss of 0 beside a norm that is not finite."""
        pairs = zip(self.losses, self.norms, strict=True)
        return any(loss == 0 and not math.isfinite(norm) for loss, norm in pairs)

    @property
    def dead(self) -> bool:
        """Losses of exactly 0, or gradients of exactly 0, nearly all along."""
        zero = [loss == 0 or norm == 0 for loss, norm in zip(self.losses, self.norms, strict=True)]
        return bool(zero) and mean(zero) > 0.9

    @property
    def diverges(self) -> bool:
        rise = self.end - self.low
        return rise > max(0.1 * self.low, 0.15 * (self.start - self.low), 3 * self.noise)

    @property
    def held_rise(self) -> float:
        """By how much of its minimum the logged held-out loss ends above it."""
        held = [value for _, value in self.evals]
        if len(held) < 3 or not all(math.isfinite(value) for value in held):
            return 0.0
        return held[-1] / min(held) - 1

    @property
    def parts(self) -> bool:
        """In the second half held-out loss gains next to nothing while training loss still does."""
        held = [value for _, value in self.evals]
        if len(held) < 4 or not all(math.isfinite(value) for value in held):
            return False
        half = len(held) // 2
        gained = (min(held[:half]) - min(held[half:])) / max(held[0], 1e-9)
        middle = self.losses[len(self.losses) // 2 - self.width // 2 :][: self.width]
        fell = 1 - self.end / max(mean(middle), 1e-9)
        return gained < 0.02 and fell > 0.2

    @property
    def last_fall(self) -> tuple[float, float]:
        """By how much of its level the last two fifths fall along a line, and that in errors."""
        tail = list(self.losses[-max(6, 2 * len(self.losses) // 5) :])
        places = [i - (len(tail) - 1) / 2 for i in range(len(tail))]
        spread = sum(place**2 for place in places)
        slope = sum(place * value for place, value in zip(places, tail, strict=True)) / spread
        fall = -slope * len(tail)
        error = max(self.noise, 1e-9) / math.sqrt(spread) * len(tail)
        return fall / max(mean(tail), 1e-9), fall / error

    @property
    def rate_stays(self) -> bool:
        """The rate ends at more than half of its peak; True where none is known."""
        return not self.rates or self.rates[-1] > 0.5 * max(self.rates)

    @property
    def rate_floor(self) -> float:
        """Share of the run after which the rate stays at 2% of its peak or below."""
        if not self.rates or max(self.rates) <= 0:
            return 1.0
        alive = [i for i, rate in enumerate(self.rates) if rate > 0.02 * max(self.rates)]
        return (alive[-1] + 1) / len(self.rates)


def outcome_of(truth: Mapping[str, Any]) -> Outcome:
    return Outcome(
        truth["steps"], truth["losses"], truth["norms"], truth.get("rates", ()),
        [(step, value) for step, value in truth["evals"] if step >= 0],
        truth["before"], truth["after"], truth["ended"],
    )  # fmt: skip


def kind_of(run: Outcome, good: Outcome) -> str:
    """What happened, in a word; ``good`` is the good run of the family."""
    if "out of memory" in run.ended.lower():
        return "oom"
    if run.dead and not run.hidden:
        return "no_signal"
    if not run.finite:
        return "nonfinite"
    if max(run.losses) > 1.5 * run.start and (run.gain < 0 or run.end > 1.1 * run.start):
        return "broken"
    if run.diverges:
        return "diverged"
    share = run.gain / max(good.gain, 1e-9)
    if run.held_rise > 0.05 and run.end < 0.9 * run.start:
        return "overfits"
    if run.gain < -max(0.02 * run.start, 2 * run.noise) and run.end > run.start + run.noise:
        return "broken"
    if share < 0.1:
        return "standstill"
    if run.held_rise > 0.02 or run.parts:
        return "fair"
    return "poor" if share < 0.55 else "fair" if share < 0.85 else "healthy"


def onset(kind: str, run: Outcome) -> int | None:
    """The step from which the fault stands in the log, where it begins somewhere."""
    if kind == "nonfinite":
        pairs = zip(run.steps, run.losses, run.norms, strict=True)
        bad = [s for s, loss, norm in pairs if not math.isfinite(loss) or not math.isfinite(norm)]
        bad += [step for step, value in run.evals if not math.isfinite(value)]
        return min(bad, default=None)
    if kind == "overfits":
        return min(run.evals, key=lambda pair: pair[1])[0]
    if kind in ("diverged", "broken"):
        smooth = run.smooth
        return run.steps[min(range(len(smooth)), key=smooth.__getitem__)]
    return run.steps[-1] if kind == "oom" and run.steps else None
