"""Generalisation: since when validation is flat, and what training has gained since then."""

from __future__ import annotations

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, missing, need, point
from advisor.signals.curves import View
from advisor.signals.loss import loss_shape
from advisor.signals.robust import Array
from advisor.signals.validation import eval_noise, levels_of, lowest
from advisor.signals.validation_tail import new_ground


def _between(view: View, first: float, last: float) -> Array:
    """Return the training losses after one step and up to another."""
    curve = view.loss
    return curve.y[(curve.steps > first) & (curve.steps <= last)]


def train_falls(view: View) -> Reading:
    """Relative fall of the training loss since the validation loss stopped improving, less two
    standard errors, so that noise does not count as a fall."""
    curve = view.eval
    if why := need(curve, 3) or need(view.loss, 10):
        return missing(why)
    onset = flat_onset(view)
    if onset >= len(curve) - 1:
        return Reading(0.0)
    step, end = float(curve.steps[onset]), float(curve.steps[-1])
    width = (end - step) / 3
    # centred on the onset so that the fall before it does not count; wider where points are few
    before = _between(view, step - 0.2 * width, step + 0.2 * width)
    if before.size < 4:
        before = _between(view, step - 0.6 * width, step + 0.4 * width)
    after = _between(view, end - width, float(view.loss.steps[-1]))
    if before.size < 2 or after.size < 2 or median(before) <= 0:
        return missing("too few training points around the evaluations")
    high, low = median(before), median(after)
    error = 1.25 * view.loss.noise * float(np.sqrt(1 / before.size + 1 / after.size))
    value = max(0.0, high - low - 2 * error) / high
    evidence = point(view.loss, -1, f"its level fell by {1 - low / high:.0%} since step {step:.0f}")
    return Reading(value, "", int(step), view.loss.at(-1), (evidence,))


def flat_onset(view: View) -> int:
    """Return the index of the first evaluation within tolerance (2 noises or 1%) of the lowest."""
    curve = view.eval
    low = lowest(curve)
    tolerance = max(2 * eval_noise(view), 0.01 * abs(low))
    return int(np.flatnonzero(levels_of(curve) <= low + tolerance)[0])


def flat_evals(view: View) -> Reading:
    """Evaluations since the validation loss stopped improving."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    onset = flat_onset(view)
    evidence = point(curve, onset, "nothing beyond noise has been won since")
    return Reading(float(len(curve) - 1 - onset), "", curve.at(onset), curve.at(-1), (evidence,))


def flat_share(view: View) -> Reading:
    """Share of the run since the validation loss stopped improving."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    span = float(curve.steps[-1] - (view.loss.steps[0] if len(view.loss) else 0)) or 1.0
    return Reading(float(curve.steps[-1] - curve.steps[flat_onset(view)]) / span)


def flat_fall(view: View) -> Reading:
    """Largest relative fall of the validation loss since it went flat that its noise allows: along
    a robust line, plus one standard error."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    onset = flat_onset(view)
    x, y = curve.steps[onset:], curve.y[onset:]
    if y.size < 2:
        return Reading(0.0)
    fall = -robust.theil_sen(x, y) * float(x[-1] - x[0])
    room = fall + robust.line_error(x, y, eval_noise(view))
    return Reading(max(0.0, room) / max(abs(float(y[0])), 1e-12))


def gap(view: View) -> Reading:
    """Validation over training loss at the end, less 1."""
    curve = view.eval
    if why := need(curve, 1) or need(view.loss, 5):
        return missing(why)
    shape = loss_shape(view)
    if shape.end <= 0:
        return missing("the training loss is not positive")
    return Reading(float(curve.y[-1]) / shape.end - 1)


def late_ground(view: View) -> Reading:
    """Gain of validation over its last third; 0 where nothing was validated."""
    reading = new_ground(view)
    return Reading(0.0) if reading.value is None else reading


def constant(view: View) -> Reading:
    """1 where all evaluations, at least four that count, are equal to the last digit."""
    points = view.points("eval/loss")
    if points is None or points.count - points.bad < 3:
        return missing("fewer than 3 evaluations")
    same, value = points.longest, points.longest.value
    if same.count < points.count or points.bad:
        return Reading(0.0)
    digits = len(repr(value).partition("e")[0].replace(".", "").strip("-0"))
    said = Evidence("eval/loss", same.last_step, value, None, "as in all evaluations before")
    return Reading(float(digits >= 4 or not value), "", same.step, same.last_step, (said,))


SIGNALS = {
    "eval.constant": Signal("0 or 1", "all evaluations are equal to the last digit", constant),
    "eval.late_ground": Signal(
        "share", "new lows gained in validation's last third, 0 without validation", late_ground
    ),
    "eval.train_falls": Signal(
        "share", "fall of the training loss since validation went flat", train_falls
    ),
    "eval.flat_evals": Signal("evaluations", "evaluations since validation went flat", flat_evals),
    "eval.flat_share": Signal("share", "share of the run since validation went flat", flat_share),
    "eval.flat_fall": Signal(
        "share", "largest fall that validation's noise can hide since it went flat", flat_fall
    ),
    "eval.gap": Signal("share", "final validation loss over training loss, less 1", gap),
}
