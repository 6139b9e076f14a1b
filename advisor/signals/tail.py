"""The end of the training loss: still falling, slowing down, or flat, and since when."""

from __future__ import annotations

import numpy as np

from advisor.findings import Reading
from advisor.signals import robust
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import View
from advisor.signals.fits import fit_curve
from advisor.signals.loss import MIN_POINTS, loss_shape

LEVEL = 0.015  # share of the level; a smaller fall is not progress


def _tail(view: View) -> tuple[int, float]:
    """Return the index where the last third begins, and the fall over it along a robust line."""
    curve = view.loss
    n = len(curve)
    cut = n - max(min(5, (n + 1) // 2), n // 3)
    x, y = curve.steps[cut:], curve.y[cut:]
    return cut, -robust.theil_sen(x, y) * float(x[-1] - x[0])


def tail_drop(view: View) -> Reading:
    """Fall over the last third of the points along a robust line, relative to the end level."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    cut, drop = _tail(view)
    level = max(abs(loss_shape(view).end), 1e-12)
    return found(drop / level, view.loss, cut, len(view.loss) - 1, _describe_fall(view, drop))


def _describe_fall(view: View, drop: float) -> str:
    """Return a fall in words, relative to where it began."""
    began = loss_shape(view).end + drop
    if loss_shape(view).end <= 0 or began <= 0:
        return ""
    return f"{'falls' if drop > 0 else 'rises'} by {abs(drop) / began:.1%} over the last third"


def tail_fall(view: View) -> Reading:
    """Fall over the last third along a robust line, relative to where the third began."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    cut, drop = _tail(view)
    began = loss_shape(view).end + drop
    if loss_shape(view).end <= 0 or began <= 0:
        return missing("the loss is not above 0")
    return found(drop / began, view.loss, cut, len(view.loss) - 1)


def _ground_won(view: View, cut: int) -> float:
    """Return how far the end lies below the best level before the last third. A swing back down
    falls steeply but reaches no new low."""
    smooth = view.loss.smooth
    return float(smooth[: cut + 1].min() - smooth[-1])


def new_ground(view: View) -> Reading:
    """How far the end lies below the best level before the last third, relative to the end."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    curve, (cut, _) = view.loss, _tail(view)
    value = _ground_won(view, cut) / max(abs(loss_shape(view).end), 1e-12)
    return found(value, curve, cut, len(curve) - 1)


def tail_share(view: View) -> Reading:
    """Fall of the last third as a share of the whole fall: a third for a straight line."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    cut, drop = _tail(view)
    fall = max(loss_shape(view).fall, 1e-12)
    return found(drop / fall, view.loss, cut, len(view.loss) - 1)


def tail_trend(view: View) -> Reading:
    """Mann-Kendall z of the last third; still falling is clearly negative."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    cut, _ = _tail(view)
    value = robust.mann_kendall_z(view.loss.y[cut:])
    return found(value, view.loss, cut, len(view.loss) - 1)


def tail_errors(view: View) -> Reading:
    """Fall over the last third, or the new ground where that is less, in standard errors of the
    line through it."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    cut, drop = _tail(view)
    curve = view.loss
    error = robust.line_error(curve.steps[cut:], curve.y[cut:], 0.5 * curve.noise)
    floor = 1e-6 * max(abs(loss_shape(view).start), 1e-9)
    return found(min(drop, _ground_won(view, cut)) / max(error, floor), curve, cut, len(curve) - 1)


def pace(view: View) -> Reading:
    """Speed of the last third over that of the middle third: does the fall come to rest?"""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    curve = view.loss
    value = robust.pace(curve.steps, curve.y)
    text = f"falls at {value:.0%} of the speed of its middle third"
    return found(value, curve, len(curve) // 3, len(curve) - 1, text)


def gain(view: View) -> Reading:
    """Predicted relative gain of training half as long again, by the fitted curve: the lower end of
    its interval."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    curve = view.loss
    skip = len(curve) // 20 if len(curve) >= 40 else 0
    fit = fit_curve(curve.steps[skip:], curve.y[skip:])
    level = abs(loss_shape(view).end)
    if fit is None or level < 1e-12:
        return missing("the curve cannot be fitted")
    text = f"half as many steps again are worth {fit.low / level:.1%} to {fit.high / level:.1%}"
    return found(fit.low / level, curve, 0, len(curve) - 1, text)


def flat_share(view: View) -> Reading:
    """Share of the run, at its end, of which 95% lies within tolerance of the final level."""
    if why := need(view.loss, 20):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    least = LEVEL * abs(shape.end)
    fall = max(shape.fall, float(curve.y[0]) - shape.best)
    # a level known less precisely than a quarter of the fall cannot be called flat
    tolerance = min(max(4 * shape.error, 0.05 * shape.fall, least), max(0.25 * fall, least))
    # a twentieth of a high start may be half of the level, which is not a standstill
    tolerance = min(tolerance, max(4 * shape.error, 0.05 * abs(shape.end)))
    away = np.abs(curve.smooth - shape.end) > tolerance
    # share of the points away, from each point to the end
    share = np.cumsum(away[::-1])[::-1] / np.arange(len(curve), 0, -1)
    flat = np.flatnonzero(~away & (share <= 0.05))
    first = int(flat[0]) if flat.size else len(curve) - 1
    span = float(curve.steps[-1] - curve.steps[0]) or 1.0
    value = float(curve.steps[-1] - curve.steps[first]) / span
    text = f"no progress for the last {value:.0%} of the run"
    return found(value, curve, first, len(curve) - 1, text)


def fall_bound(view: View) -> Reading:
    """Largest fall of the last half of the points that two standard errors allow, as a share of the
    whole fall: noise may hide a fall."""
    if why := need(view.loss, 20):
        return missing(why)
    curve, half = view.loss, len(view.loss) // 2
    x, y = curve.steps[half:], curve.y[half:]
    drop = -robust.theil_sen(x, y) * float(x[-1] - x[0])
    most = drop + 2 * robust.line_error(x, y, 0.5 * curve.noise)
    value = most / max(loss_shape(view).fall, 1e-12)
    return found(value, curve, half, len(curve) - 1)


def straightness(view: View) -> Reading:
    """Speed of the second half over speed of the first half: 1 for a straight line."""
    if why := need(view.loss, 20):
        return missing(why)
    curve, half = view.loss, len(view.loss) // 2
    early = robust.theil_sen(curve.steps[:half], curve.y[:half])
    late = robust.theil_sen(curve.steps[half:], curve.y[half:])
    if early >= 0:
        return missing("the first half does not fall")
    return found(late / early, curve, 0, len(curve) - 1)


SIGNALS = {
    "loss.tail_drop": Signal(
        "share", "fall over the last third, relative to the end level", tail_drop
    ),
    "loss.tail_fall": Signal(
        "share", "fall over the last third, relative to where the third began", tail_fall
    ),
    "loss.tail_share": Signal(
        "share", "share of the whole fall that the last third holds", tail_share
    ),
    "loss.tail_trend": Signal("z", "Mann-Kendall z of the last third", tail_trend),
    "loss.new_ground": Signal(
        "share", "end below the best level before the last third", new_ground
    ),
    "loss.tail_errors": Signal(
        "errors", "fall over the last third, in standard errors", tail_errors
    ),
    "loss.pace": Signal("ratio", "speed of the last third over the middle third", pace),
    "loss.gain": Signal(
        "share", "predicted gain of training half as long again, lower bound", gain
    ),
    "loss.flat_share": Signal("share", "share of the run at its end without progress", flat_share),
    "loss.fall_bound": Signal(
        "share", "largest share of the whole fall that noise can hide in the last half", fall_bound
    ),
    "loss.straightness": Signal(
        "ratio", "speed of the second half over that of the first half", straightness
    ),
}
