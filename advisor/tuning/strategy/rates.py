"""The learning rate as a bracket in log space: every run bounds it, the next one halves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.base.numbers import is_number, number
from advisor.tuning.choice import noise_of
from advisor.tuning.space import LR, Room, alike, rate_of
from advisor.tuning.strategy.curves import (  # fmt: skip
    BROKEN,
    broke,
    is_above_start,
    lead,
    probe_samples,
)
from advisor.tuning.trial import Trial

RATES = (LR, "lr_scheduler.min_lr")  # what may differ between runs of one bracket
LEAP, STEP = 1.0, 0.4  # decades: to find the bracket, and once another base has had one
WIDE = 0.55  # decades: a bracket of wider halves is halved once more
CLOSE = 0.12  # decades: nearer than that no run tells rates apart
NEAR = 0.5  # of the way to a neighbour, as far as a parabola is believed
TOO_LOW = ("lr_too_low", "slow", "underfit", "early_plateau")
TOO_HIGH = ("divergence", "spikes", "oscillation", "nonfinite", "grad_spikes")


@dataclass(frozen=True, slots=True)
class Point:
    """What one rate gave: by how much it is above the base over the same samples (inf: broke)."""

    place: float  # log10 of the rate
    gap: float
    error: float


def leaning(trial: Trial) -> int:
    """Return which way the diagnosis says that the rate should go: 1 up, -1 down, 0 nothing."""
    if broke(trial):
        return -1
    for change in trial.edits:
        if change.key == LR and is_number(change.old) and is_number(change.new):
            return 1 if number(change.new) > number(change.old) else -1
    symptoms = [said.symptom for said in trial.findings if said.severity != "info"]
    if any(symptom in TOO_HIGH for symptom in symptoms):
        return -1
    return 1 if any(symptom in TOO_LOW for symptom in symptoms) else 0


def siblings(trial: Trial, history: Sequence[Trial]) -> list[Trial]:
    """Return the runs that differ from one in nothing but the rate, itself among them."""
    return [t for t in history if alike(t.values, trial.values, RATES)]


def was_bracketed(history: Sequence[Trial]) -> bool:
    """Say whether three rates were compared beside some run."""
    return any(len(siblings(trial, history)) >= 3 for trial in history)


def points_of(front: Trial, base: Trial, history: Sequence[Trial]) -> list[Point]:
    """Return what is known of the rate where all else is as in ``front``, lowest rate first."""
    found: dict[float, Point] = {}
    noise = noise_of(history)
    for trial in siblings(front, history):
        place = round(_place(trial), 2)
        ahead = lead(trial, base, probe_samples(base), noise)
        if trial.status in BROKEN or broke(trial) or is_above_start(trial):
            found[place] = Point(place, math.inf, 0.0)
        elif ahead is None:  # too few values to tell: it bounds nothing, and is not run again
            found.setdefault(place, Point(place, 0.0, math.inf))
        else:
            found[place] = Point(place, ahead.value, ahead.error)
    return sorted(found.values(), key=lambda point: point.place)


def _below_the_wall(points: Sequence[Point]) -> list[Point]:
    """Return the points up to the lowest rate that broke.

    Rates break by being too high, never by being too low. A still higher one that looks better has
    forgotten everything at once and stays there.
    """
    wall = next((i for i, point in enumerate(points) if math.isinf(point.gap)), len(points))
    return list(points[: wall + 1])


def next_rate(
    front: Trial, base: Trial, history: Sequence[Trial], room: Room
) -> tuple[float, str] | None:
    """Return the rate to probe next and why; None where the bracket has closed."""
    points = _below_the_wall(points_of(front, base, history))
    first = not was_bracketed([t for t in history if not alike(t.values, front.values, RATES)])
    wanted = _outward(points, leaning(front), LEAP if first else STEP) or _halve_bracket(points)
    if len(points) == 1 and math.isinf(points[0].gap):
        wanted = points[0].place - LEAP, "what breaks is too high: a lower rate"
    if wanted is None:
        return None
    rate = float(room.fit(LR, 10 ** wanted[0]))
    if any(abs(point.place - math.log10(rate)) < CLOSE for point in points):
        return None
    return rate, wanted[1]


def _place(trial: Trial) -> float:
    return math.log10(rate_of(trial.values))


def _outward(points: Sequence[Point], lean: int, step: float) -> tuple[float, str] | None:
    """Return a rate beyond what was tried, while the best one has a side that nothing bounds."""
    best = min(range(len(points)), key=lambda i: points[i].gap)
    here = points[best]
    for side in (lean or 1, -(lean or 1)):
        if 0 <= best + side < len(points):
            continue  # bounded by a worse one
        word = "higher" if side > 0 else "lower"
        why = f"nothing bounds the best rate yet: a {word} one"
        if len(points) == 1 and side == lean:
            why = f"the diagnosis wants a {word} rate"
        return here.place + side * step, why
    return None


def _halve_bracket(points: Sequence[Point]) -> tuple[float, str] | None:
    """Return a rate within the bracket, None where it is as narrow as runs can tell."""
    best = min(range(len(points)), key=lambda i: points[i].gap)
    if best in (0, len(points) - 1):
        return None
    left, here, right = points[best - 1 : best + 2]
    wide = max(here.place - left.place, right.place - here.place)
    if wide < WIDE:
        return None
    return _bottom(left, here, right), "the bracket is wide: between its best rates"


def _bottom(left: Point, here: Point, right: Point) -> float:
    """Return where a parabola in log space is lowest, or the middle of the better half.

    A rate that broke says where the wall is and nothing of the valley, so then the half away
    from it is taken, unless that is the narrower one.
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
