"""What happens right now: a jump or a rise at the end of a log, whatever follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from advisor.base.median import median
from advisor.findings import Reading
from advisor.signals import robust
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import Curve, View
from advisor.signals.loss import MEDIAN_COST, loss_shape
from advisor.signals.spikes import MIN_POINTS, Spike, evidence_of, loss_spikes

RECENT = 8  # points; an older jump that is still up is a slow recovery: loss.spike_recovery
TWICE = 1.0  # of the level before; a single point this high is reported at once
LEAST, MOST = 3, 8  # points of the new level
RISE_POINTS = 12
SMOOTHED = 1.2  # noise over what is left of it around a running median of few points


def _last_jump(view: View) -> Spike | None:
    """Return the jump within the last points that has not recovered yet."""
    n, spikes = len(view.loss), loss_spikes(view)
    if not spikes or spikes[-1].back < n or n - spikes[-1].first > RECENT:
        return None
    return spikes[-1]


def jump_now(view: View) -> Reading:
    """Height, over the level before, of a jump within the last points that has not recovered."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    curve, last = view.loss, _last_jump(view)
    if last is None:
        return Reading(0.0)
    height = last.height / max(abs(last.base), 1e-12)
    evidence = (evidence_of(view, last),)
    return Reading(height, "", curve.at(last.first), curve.at(-1), evidence)


def open_jump(view: View) -> Reading:
    """Height of such a jump if it is two points long or very high: a log may end in one hard
    batch."""
    reading, last = jump_now(view), _last_jump(view) if len(view.loss) else None
    if last is None or reading.value is None or len(view.loss) - last.first >= 2:
        return reading
    return reading if reading.value >= TWICE else Reading(0.0)


@dataclass(frozen=True, slots=True)
class Rise:
    """The level of the last ``points`` over the lowest one before: in loss units, in standard
    errors, and over the largest earlier rise that was undone."""

    points: int
    level: float
    best: float
    errors: float
    of_past: float
    since: int


def rise_of(view: View) -> Rise:
    """Measure how far the loss stands above its best level right now."""
    memo = view.memo.get("rise now")
    if isinstance(memo, Rise):
        return memo
    curve, shape = view.loss, loss_shape(view)
    y, n = curve.y, len(curve)
    k = int(min(max(n // 8, LEAST), MOST))
    levels = robust.sliding_medians(y, k)  # each of the points i to i + k - 1
    before = np.minimum.accumulate(levels)
    rises = levels[k:] - before[:-k]  # levels without a common point
    now = float(rises[-1])
    # the episode begins after the last point at which the rise was below a third
    calm = np.flatnonzero(rises <= now / 3)
    since = int(calm[-1]) + 1 if calm.size else 0
    past = float(rises[:since].max()) if since else 0.0
    spread, persistence = _noise(curve, since + k)
    error = MEDIAN_COST * spread * persistence * math.sqrt(2 / k)
    floor = 1e-6 * max(abs(shape.start), 1e-9)
    made = Rise(
        k, float(levels[-1]), float(before[-k - 1]), now / max(error, floor),
        now / max(past, 0.5 * spread, floor), since + k,
    )  # fmt: skip
    view.memo["rise now"] = made
    return made


def _noise(curve: Curve, end: int) -> tuple[float, float]:
    """Return the noise of one point, and the factor by which white noise would have to be wider to
    wander like it. Only points before the rise count."""
    end = end if end >= RISE_POINTS else len(curve)
    y = curve.y[:end]
    residual = y - curve.smooth[:end]
    spread = max(SMOOTHED * robust.mad_sd(residual), robust.local_noise(y))
    limit = 3 * robust.mad_sd(residual)
    r1 = float(robust.autocorrelation(np.clip(residual, -limit, limit), 1)[1])
    r1 = min(max(r1, 0.0), 0.9)
    return spread, math.sqrt((1 + r1) / (1 - r1))


def rise(view: View) -> Reading:
    """Level of the last points over the best level before them, relative."""
    if why := need(view.loss, RISE_POINTS):
        return missing(why)
    now, curve = rise_of(view), view.loss
    if abs(now.best) < 1e-12:
        return missing("the best level is 0")
    value = (now.level - now.best) / abs(now.best)
    text = f"the last {now.points} points lie {value:+.0%} from the best level before"
    return found(value, curve, min(now.since, len(curve) - 1), len(curve) - 1, text)


def rise_errors(view: View) -> Reading:
    """The rise of the last points in standard errors of a level."""
    if why := need(view.loss, RISE_POINTS):
        return missing(why)
    return Reading(rise_of(view).errors)


def rise_of_past(view: View) -> Reading:
    """The rise of the last points over the largest earlier rise that was undone, or half a
    noise."""
    if why := need(view.loss, RISE_POINTS):
        return missing(why)
    return Reading(rise_of(view).of_past)


def all_above(view: View) -> Reading:
    """Lowest of the last points over the best level before them, relative."""
    if why := need(view.loss, RISE_POINTS):
        return missing(why)
    now, curve = rise_of(view), view.loss
    if abs(now.best) < 1e-12:
        return missing("the best level is 0")
    return Reading((float(curve.y[-now.points :].min()) - now.best) / abs(now.best))


def late_level(view: View) -> Reading:
    """Level of the last points over the level at the start."""
    if why := need(view.loss, RISE_POINTS):
        return missing(why)
    start = loss_shape(view).start
    if abs(start) < 1e-12:
        return missing("the loss starts at 0")
    return Reading(median(view.loss.y[-rise_of(view).points :]) / abs(start))


SIGNALS = {
    "loss.jump_now": Signal("share", "height of a recent jump that has not recovered", jump_now),
    "loss.open_jump": Signal(
        "share", "height of a recent jump that lasts two points or is very high", open_jump
    ),
    "loss.rise_now": Signal("share", "last points above the best level before them", rise),
    "loss.rise_now_errors": Signal(
        "errors", "last points above the best level before them, in standard errors", rise_errors
    ),
    "loss.rise_now_of_past": Signal(
        "ratio",
        "rise of the last points over the largest earlier rise that was undone",
        rise_of_past,
    ),
    "loss.all_above": Signal(
        "share", "lowest of the last points above the best level before them", all_above
    ),
    "loss.level_now": Signal(
        "ratio", "level of the last points over the level at the start", late_level
    ),
}
