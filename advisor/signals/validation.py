"""Generalisation: the validation loss's minimum, rise, onset, tail, and the gap to training."""

from __future__ import annotations

import numpy as np

from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, missing, need
from advisor.signals.loss import loss_shape
from advisor.signals.robust import Array
from advisor.signals.view import Curve, View


def _noise(curve: Curve) -> float:
    """Noise of one evaluation; a floor of 0.1% of the level where it cannot be measured."""
    floor = 0.001 * abs(float(np.median(curve.y)))
    return max(robust.successive_noise(curve.y) if len(curve) >= 4 else 0.0, floor, 1e-12)


def _low(curve: Curve) -> int:
    return int(np.argmin(curve.y))


def _end(curve: Curve) -> float:
    """Level at the end: the median of the last three evaluations past the minimum."""
    past = curve.y[_low(curve) :]
    return float(np.median(past[-min(3, max(1, past.size - 1)) :]))


def points(view: View) -> Reading:
    return Reading(float(len(view.eval)))


def rise(view: View) -> Reading:
    """End over minimum of the validation loss, relative."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    low = _low(curve)
    bottom = float(curve.y[low])
    if abs(bottom) < 1e-12:
        return missing("the validation loss reaches 0")
    value = (_end(curve) - bottom) / abs(bottom)
    evidence = (
        Evidence(curve.name, curve.at(low), bottom, None, f"lowest: {bottom:.4g}"),
        Evidence(curve.name, curve.at(-1), float(curve.y[-1]), bottom, f"{value:+.1%} at the end"),
    )
    return Reading(value, "", curve.at(low), curve.at(-1), evidence)


def rise_noise(view: View) -> Reading:
    """The same rise in noises of one evaluation."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading((_end(curve) - float(curve.y[_low(curve)])) / _noise(curve))


def rise_trend(view: View) -> Reading:
    """Mann-Kendall z of the evaluations from the minimum on."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    past = curve.y[_low(curve) :]
    return Reading(robust.mann_kendall_z(past) if past.size >= 4 else 0.0)


def after_min(view: View) -> Reading:
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading(float(len(curve) - 1 - _low(curve)))


def tail_drop(view: View) -> Reading:
    """Relative fall over the last third of the evaluations (at least two intervals)."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = max(3, len(curve) // 3 + 1)
    x, y = curve.steps[-k:], curve.y[-k:]
    drop = -robust.theil_sen(x, y) * float(x[-1] - x[0])
    value = drop / max(abs(float(y[-1])), 1e-12)
    evidence = Evidence(
        curve.name, curve.at(-1), float(y[-1]), None, f"fell by {value:.1%} over the last {k}"
    )
    return Reading(value, "", curve.at(len(curve) - k), curve.at(-1), (evidence,))


def falls_to_end(view: View) -> Reading:
    """Share of the last third's steps that go down, 1 when each evaluation is a new minimum."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = max(3, len(curve) // 3 + 1)
    steps = np.diff(curve.y[-k:])
    is_last = _low(curve) >= len(curve) - 1 - (k >= 6)
    return Reading(float((steps < 0).mean()) if is_last else 0.0)


def tail_share(view: View) -> Reading:
    """The last third's fall as a share of the whole fall of the validation loss."""
    curve = view.eval
    if why := need(curve, 4):
        return missing(why)
    k = max(3, len(curve) // 3 + 1)
    whole = float(curve.y[0] - curve.y.min())
    if whole <= 0:
        return Reading(0.0)
    return Reading(float(np.clip((curve.y[-k] - curve.y[-1]) / whole, -1, 1)))


def progress(view: View) -> Reading:
    """Relative fall from the first evaluation to the lowest one."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    first = float(curve.y[0])
    if abs(first) < 1e-12:
        return missing("the validation loss starts at 0")
    return Reading((first - float(curve.y.min())) / abs(first))


def _between(view: View, first: float, last: float) -> Array:
    """Training losses of the points after one step up to another."""
    curve = view.loss
    return curve.y[(curve.steps > first) & (curve.steps <= last)]


def train_falls(view: View) -> Reading:
    """Relative fall of the training loss since the validation loss stopped improving, less two
    standard errors: a fall that noise may explain does not count."""
    curve = view.eval
    if why := need(curve, 3) or need(view.loss, 10):
        return missing(why)
    onset = flat_onset(curve)
    if onset >= len(curve) - 1:
        return Reading(0.0)
    step, end = float(curve.steps[onset]), float(curve.steps[-1])
    width = (end - step) / 3
    before = _between(view, step - width, step + 0.25 * width)
    after = _between(view, end - width, float(view.loss.steps[-1]))
    if before.size < 2 or after.size < 2 or np.median(before) <= 0:
        return missing("too few training points around the evaluations")
    high, low = float(np.median(before)), float(np.median(after))
    error = 1.25 * view.loss.noise * float(np.sqrt(1 / before.size + 1 / after.size))
    text = f"training loss fell by {1 - low / high:.0%} since, from {high:.4g} to {low:.4g}"
    evidence = Evidence("train/loss", view.loss.at(-1), low, high, text)
    value = max(0.0, high - low - 2 * error) / high
    return Reading(value, "", int(step), view.loss.at(-1), (evidence,))


def flat_onset(curve: Curve) -> int:
    """Index of the first evaluation within tolerance (2 noises or 1%) of the lowest one."""
    low = float(curve.y.min())
    tolerance = max(2 * _noise(curve), 0.01 * abs(low))
    return int(np.flatnonzero(curve.y <= low + tolerance)[0])


def flat_evals(view: View) -> Reading:
    """Evaluations since the validation loss stopped improving."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    onset = flat_onset(curve)
    text = f"flat since step {curve.at(onset)}"
    evidence = Evidence(curve.name, curve.at(onset), float(curve.y[onset]), None, text)
    return Reading(float(len(curve) - 1 - onset), "", curve.at(onset), curve.at(-1), (evidence,))


def flat_share(view: View) -> Reading:
    """Share of the run since the validation loss stopped improving."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    span = float(curve.steps[-1] - (view.loss.steps[0] if len(view.loss) else 0)) or 1.0
    return Reading(float(curve.steps[-1] - curve.steps[flat_onset(curve)]) / span)


def gap(view: View) -> Reading:
    """Validation over training loss at the end, less 1."""
    curve = view.eval
    if why := need(curve, 1) or need(view.loss, 5):
        return missing(why)
    shape = loss_shape(view)
    if shape.end <= 0:
        return missing("the training loss is not positive")
    return Reading(float(curve.y[-1]) / shape.end - 1)


def noise(view: View) -> Reading:
    """Noise of an evaluation over the median level."""
    curve = view.eval
    if why := need(curve, 6):
        return missing(why)
    return Reading(_noise(curve) / max(abs(float(np.median(curve.y))), 1e-12))


def nonfinite(view: View) -> Reading:
    series = view.series("eval/loss")
    if series is None:
        return missing("no eval/loss in the log")
    bad = np.flatnonzero(~np.isfinite(series.values))
    if not bad.size:
        return Reading(0.0)
    step = int(series.steps[bad[0]])
    evidence = Evidence("eval/loss", step, float(series.values[bad[0]]), None, "not finite")
    return Reading(float(bad.size), "", step, int(series.steps[bad[-1]]), (evidence,))


SIGNALS = {
    "eval.points": Signal("points", "finite evaluations", points),
    "eval.rise": Signal("share", "end over minimum, relative", rise),
    "eval.rise_noise": Signal("noise", "the same rise in evaluation noises", rise_noise),
    "eval.rise_trend": Signal("z", "Mann-Kendall z from the minimum on", rise_trend),
    "eval.after_min": Signal("evaluations", "evaluations after the minimum", after_min),
    "eval.tail_drop": Signal("share", "relative fall over the last third", tail_drop),
    "eval.tail_share": Signal("share", "last third's part of the whole fall", tail_share),
    "eval.falls_to_end": Signal("share", "last third's steps that go down", falls_to_end),
    "eval.progress": Signal("share", "first to lowest evaluation, relative", progress),
    "eval.train_falls": Signal("share", "training's fall since validation went flat", train_falls),
    "eval.flat_evals": Signal("evaluations", "since validation went flat", flat_evals),
    "eval.flat_share": Signal("share", "of the run since validation went flat", flat_share),
    "eval.gap": Signal("share", "validation over training loss at the end, less 1", gap),
    "eval.noise": Signal("share", "evaluation noise over the level", noise),
    "eval.nonfinite": Signal("points", "evaluations that are not finite", nonfinite),
}
