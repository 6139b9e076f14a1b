"""The learning rate as a bracket in log space: every run bounds it, the next one halves it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.tuning.space import LR, Room, alike, rate_of
from advisor.tuning.strategy_curves import broke, lead, length_of
from advisor.tuning.trial import Trial

SHARE = 0.25  # of a run, as long as a probe is
SHORTEST = 8  # steps of a probe: fewer show warm-up and noise alone
MOST = 0.6  # of a run: a longer probe is no cheaper than a whole run that is ended early
STEP, LEAP = 0.5, 1.0  # in decades: without a diagnosis, and with one
RATES = (LR, "lr_scheduler.min_lr")
CLOSE = 0.15  # decades: nearer than that no run tells rates apart
TOO_LOW = ("lr_too_low", "slow", "underfit", "early_plateau")
TOO_HIGH = ("divergence", "spikes", "oscillation", "nonfinite", "grad_spikes")


@dataclass(frozen=True, slots=True)
class Point:
    """What one rate gave: by how much it is above the base at the same steps (inf: it broke)."""

    place: float  # log10 of the rate
    gap: float
    error: float


@dataclass(frozen=True, slots=True)
class Rate:
    """The next rate, by a probe or a whole run, and why."""

    rate: float
    probe: bool
    reason: str


def probe_steps(base: Trial) -> int | None:
    """Return how many steps a probe takes; None where a run is too short to be probed."""
    total = length_of(base)
    steps = max(SHORTEST, round(SHARE * total))
    return steps if steps <= MOST * total else None


def leaning(trial: Trial) -> int:
    """Return which way the diagnosis says that the rate should go: 1 up, -1 down, 0 nothing."""
    if broke(trial):
        return -1
    for change in trial.edits:
        if (
            change.key == LR
            and isinstance(change.old, (int, float))
            and isinstance(change.new, (int, float))
        ):
            return 1 if change.new > change.old else -1
    symptoms = [said.symptom for said in trial.findings if said.severity != "info"]
    if any(symptom in TOO_HIGH for symptom in symptoms):
        return -1
    return 1 if any(symptom in TOO_LOW for symptom in symptoms) else 0


def points_of(base: Trial, history: Sequence[Trial]) -> list[Point]:
    """Return what is known of the rate where all else is as in the base, lowest rate first."""
    found: dict[float, Point] = {}
    window = probe_steps(base) or length_of(base)
    for trial in history:
        if not alike(trial.values, base.values, but=RATES):
            continue
        place = round(math.log10(rate_of(trial.values)), 3)
        if trial is base:
            found[place] = Point(place, 0.0, 0.0)
            continue
        if trial.status in ("nonfinite", "oom", "crashed"):
            found.setdefault(place, Point(place, math.inf, 0.0))
            continue
        ahead = lead(trial, base, window)
        if ahead is None:  # too few values logged to tell: it bounds nothing, and is not run again
            found.setdefault(place, Point(place, 0.0, math.inf))
        else:
            found.setdefault(place, Point(place, ahead.value, ahead.error))
    return sorted(found.values(), key=lambda point: point.place)


def next_rate(base: Trial, history: Sequence[Trial], room: Room) -> Rate | None:
    """Return the rate to try next; None where the bracket has closed."""
    points = points_of(base, history)
    if not points:
        return None
    outward = _outward(points, base)
    if outward is not None and _is_new(outward[0], points):
        rate = float(room.fit(LR, 10 ** outward[0]))
        if _is_new(math.log10(rate), points):  # no bound of the user's holds it back
            return Rate(rate, probe_steps(base) is not None, outward[1])
    place, reason = _inward(points)
    whole = [_place(t) for t in history if t.kind == "full" and alike(t.values, base.values, RATES)]
    if any(abs(place - known) < CLOSE for known in whole):
        return None
    return Rate(float(room.fit(LR, 10**place)), False, reason)


def _place(trial: Trial) -> float:
    return math.log10(rate_of(trial.values))


def _is_new(place: float, points: Sequence[Point]) -> bool:
    return all(abs(point.place - place) >= CLOSE for point in points)


def _outward(points: Sequence[Point], base: Trial) -> tuple[float, str] | None:
    """Return a rate beyond what was tried, while the best one has a side that nothing bounds."""
    best = min(range(len(points)), key=lambda i: points[i].gap)
    here, lean = points[best], leaning(base)
    at_base = abs(here.place - _place(base)) < 1e-3
    sides = [lean or 1, -(lean or 1)] if at_base else [1 if here.place > _place(base) else -1]
    for side in sides:
        if points[best + side : best + side + 1] and best + side >= 0:
            continue  # bounded by a worse one
        if at_base and lean and side != lean and len(points) > 1:
            continue  # the diagnosis and a run agree that it lies elsewhere
        step = LEAP if side > 0 or lean or here.gap < -4 * here.error else STEP
        word = "higher" if side > 0 else "lower"
        if at_base:
            why = (
                f"the diagnosis wants a {word} rate"
                if side == lean
                else f"is a {word} rate better?"
            )
        else:
            why = f"a {word} rate was better at the same steps: further that way"
        return here.place + side * step, why
    return None


def _inward(points: Sequence[Point]) -> tuple[float, str]:
    """Return the bottom of the bracket: of a parabola through three losses, else the best rate."""
    best = min(range(len(points)), key=lambda i: points[i].gap)
    here = points[best]
    if best in (0, len(points) - 1):
        return here.place, "the best rate of the probes, in full"
    left, right = points[best - 1], points[best + 1]
    if not math.isfinite(left.gap) or not math.isfinite(right.gap):
        return here.place, "the best rate of the probes, in full"
    return _vertex(left, here, right), "the bottom of a parabola through the losses of three rates"


def _vertex(left: Point, here: Point, right: Point) -> float:
    """Return where a parabola in log space has its lowest point, well within its neighbours.

    A loss that rises like a wall says where the wall is and nothing of the valley: what lies
    far above counts as no more than four times as far as the other side.
    """
    low, high = left.gap - here.gap, right.gap - here.gap
    low, high = min(low, 4 * high + here.error), min(high, 4 * low + here.error)
    down, up = here.place - left.place, right.place - here.place
    moved = -0.5 * (high * down**2 - low * up**2) / max(high * down + low * up, 1e-12)
    return here.place + min(max(moved, -0.5 * down), 0.5 * up)
