"""A bracket search for the learning rate in log space: every run narrows it, the next halves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.base.numbers import is_number, number
from advisor.tuning.choice import noise_of
from advisor.tuning.space import LR, Room, is_alike, rate_of
from advisor.tuning.strategy.curves import (  # fmt: skip
    BROKEN,
    is_above_start,
    is_broken,
    measure_lead,
    probe_samples,
)
from advisor.tuning.trial import Trial

RATES = (LR, "lr_scheduler.min_lr")  # what may differ between runs of one bracket
LEAP, STEP = 1.0, 0.4  # decades outward: in the first bracket, and in later ones around other runs
WIDE = 0.55  # decades: halve a bracket once more while one side is wider
CLOSE = 0.12  # decades: runs cannot tell closer rates apart
NEAR = 0.5  # share of the way to a neighbour up to which we trust the parabola
TOO_LOW = ("lr_too_low", "slow", "underfit", "early_plateau")
TOO_HIGH = ("divergence", "spikes", "oscillation", "nonfinite", "grad_spikes")


@dataclass(frozen=True, slots=True)
class Point:
    """The result of one rate, compared with the base over the same samples."""

    place: float  # log10 of the rate
    gap: float  # loss above the base's; inf: the run failed
    error: float  # standard error of the gap; inf: too few values to tell


def find_direction(trial: Trial) -> int:
    """Return the direction in which the diagnosis wants the rate: 1 up, -1 down, 0 neither."""
    if is_broken(trial):
        return -1
    for change in trial.edits:
        if change.key == LR and is_number(change.old) and is_number(change.new):
            return 1 if number(change.new) > number(change.old) else -1
    symptoms = [said.symptom for said in trial.findings if said.severity != "info"]
    if any(symptom in TOO_HIGH for symptom in symptoms):
        return -1
    return 1 if any(symptom in TOO_LOW for symptom in symptoms) else 0


def find_siblings(trial: Trial, history: Sequence[Trial]) -> list[Trial]:
    """Return the runs that differ from ``trial`` at most in the rate, itself included."""
    return [t for t in history if is_alike(t.values, trial.values, RATES)]


def was_bracketed(history: Sequence[Trial]) -> bool:
    """Return whether some run was compared at three rates."""
    return any(len(find_siblings(trial, history)) >= 3 for trial in history)


def find_points(front: Trial, base: Trial, history: Sequence[Trial]) -> list[Point]:
    """Return the results of all rates with other values as in ``front``, lowest rate first."""
    found: dict[float, Point] = {}
    noise = noise_of(history)
    for trial in find_siblings(front, history):
        place = round(_log_rate(trial), 2)
        ahead = measure_lead(trial, base, probe_samples(base), noise)
        if trial.status in BROKEN or is_broken(trial) or is_above_start(trial):
            found[place] = Point(place, math.inf, 0.0)
        elif ahead is None:  # too few values: it bounds nothing, and is not run again
            found.setdefault(place, Point(place, 0.0, math.inf))
        else:
            found[place] = Point(place, ahead.value, ahead.error)
    return sorted(found.values(), key=lambda point: point.place)


def _cut_at_failure(points: Sequence[Point]) -> list[Point]:
    """Return the points up to and including the lowest rate that failed.

    Runs fail from rates that are too high, never from rates that are too low. A still higher rate
    that looks better destroyed the model at once and stays flat.
    """
    wall = next((i for i, point in enumerate(points) if math.isinf(point.gap)), len(points))
    return list(points[: wall + 1])


def next_rate(
    front: Trial, base: Trial, history: Sequence[Trial], room: Room
) -> tuple[float, str] | None:
    """Return the rate to probe next and why; None where the bracket is narrow enough."""
    points = _cut_at_failure(find_points(front, base, history))
    first = not was_bracketed([t for t in history if not is_alike(t.values, front.values, RATES)])
    step = LEAP if first else STEP
    wanted = _step_outward(points, find_direction(front), step) or _halve_bracket(points)
    if len(points) == 1 and math.isinf(points[0].gap):
        wanted = points[0].place - LEAP, "the run failed, so its rate is too high: a lower one"
    if wanted is None:
        return None
    rate = float(room.fit(LR, 10 ** wanted[0]))
    if any(abs(point.place - math.log10(rate)) < CLOSE for point in points):
        return None
    return rate, wanted[1]


def _log_rate(trial: Trial) -> float:
    return math.log10(rate_of(trial.values))


def _step_outward(points: Sequence[Point], lean: int, step: float) -> tuple[float, str] | None:
    """Return the log10 of a rate beyond the best one, on a side where no worse one bounds it.

    ``lean`` is the direction to try first. None where both sides are bounded.
    """
    best = min(range(len(points)), key=lambda i: points[i].gap)
    here = points[best]
    for side in (lean or 1, -(lean or 1)):
        if 0 <= best + side < len(points):
            continue  # a worse rate bounds this side
        word = "higher" if side > 0 else "lower"
        why = f"no worse rate bounds the best one yet: a {word} one"
        if len(points) == 1 and side == lean:
            why = f"the diagnosis wants a {word} rate"
        return here.place + side * step, why
    return None


def _halve_bracket(points: Sequence[Point]) -> tuple[float, str] | None:
    """Return the log10 of a rate inside the bracket, None where it is narrow enough."""
    best = min(range(len(points)), key=lambda i: points[i].gap)
    if best in (0, len(points) - 1):
        return None
    left, here, right = points[best - 1 : best + 2]
    wide = max(here.place - left.place, right.place - here.place)
    if wide < WIDE:
        return None
    return _find_bottom(left, here, right), "the bracket is still wide: a rate between the best"


def _find_bottom(left: Point, here: Point, right: Point) -> float:
    """Return the lowest point of the parabola through three points, or the middle of one half.

    In log10 of the rate. Where that lowest point is too close to the middle one, or a rate failed
    (its loss says nothing about the shape of the valley), take the wider half; of equal halves the
    one with the lower loss.
    """
    down, up = here.place - left.place, right.place - here.place
    low, high = left.gap - here.gap, right.gap - here.gap
    if math.isfinite(low) and math.isfinite(high):
        low, high = min(low, 4 * high + here.error), min(high, 4 * low + here.error)
        moved = -0.5 * (high * down**2 - low * up**2) / max(high * down + low * up, 1e-12)
        moved = min(max(moved, -NEAR * down), NEAR * up)
        if abs(moved) >= CLOSE:
            return here.place + moved
    toward = -1 if (down > up or (down == up and high > low)) else 1
    return here.place + (NEAR * up if toward > 0 else -NEAR * down)
