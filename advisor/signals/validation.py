"""The validation loss: its minimum, its rise, and whether it still falls."""

from __future__ import annotations

import math

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals import run_size as facts
from advisor.signals.base import Signal, found, missing, need, point
from advisor.signals.curves import FEW, Curve, View
from advisor.signals.loss import MEDIAN_COST, MIN_POINTS, loss_shape
from advisor.signals.robust import Array

DENSE = 5  # training points per evaluation from which on they bound its noise
UNSEEN = 9.0  # stands for a rise without an earlier one to compare with
MANY = 20  # evaluations from which on their spread about the trend can be measured


def eval_noise(view: View) -> float:
    """Return the noise of one evaluation, or 0.1% of the level if it cannot be measured.

    An evaluation averages many batches: the noise of training losses logged by the batch is an
    upper bound, which few evaluations on a bent curve need.
    """
    curve = view.eval
    level = abs(median(curve.y))
    noise = robust.successive_noise(curve.y) if len(curve) >= 4 else 0.0
    if len(curve) >= MANY:
        noise = max(noise, curve.spread)
    if len(view.loss) >= max(FEW, DENSE * len(curve)):
        train = abs(median(view.loss.y))
        noise = min(noise, level * view.loss.noise / max(train, 1e-12))
    return max(noise, 0.001 * level, 1e-12)


def level_size(curve: Curve) -> int:
    """Return the number of evaluations per level: more where many were made."""
    n = len(curve)
    return 1 if n < 9 else robust.window_for(n, 0.12, 3)


def levels_of(curve: Curve) -> Array:
    """Return the curve without its luckiest evaluations: the lowest of many is low by chance."""
    return robust.running_median(curve.y, level_size(curve))


def _gain(curve: Curve) -> float:
    """Return the noise of one evaluation over that of a level."""
    window = level_size(curve)
    if window == 1:
        return 1.0
    return max(1.0, math.sqrt(window) / MEDIAN_COST / curve.persistence)


def index_of_lowest(curve: Curve) -> int:
    """Return the index of the lowest level."""
    return int(np.argmin(levels_of(curve)))


def lowest(curve: Curve) -> float:
    return float(levels_of(curve)[index_of_lowest(curve)])


def _end(curve: Curve) -> float:
    """Return the level at the end: the median of the last three or more evaluations past the
    minimum."""
    past = curve.y[index_of_lowest(curve) :]
    return median(past[-min(max(3, level_size(curve)), max(1, past.size - 1)) :])


def tail_points(curve: Curve) -> int:
    """Return the number of evaluations in the last third, at least three."""
    return max(3, len(curve) // 3 + 1)


def points(view: View) -> Reading:
    return Reading(float(len(view.eval)))


def _lowest(view: View) -> tuple[int, float]:
    """Return step and value of the minimum, as the header of a report states it."""
    curve = view.eval
    return view.lowest(curve.name) or (curve.at(index_of_lowest(curve)), lowest(curve))


def _minimum(view: View) -> int:
    """Return the index of the evaluation with the minimum."""
    steps = view.eval.steps
    return min(int(np.searchsorted(steps, _lowest(view)[0])), steps.size - 1)


def best(view: View) -> Reading:
    """The minimum as logged."""
    if why := need(view.eval, 1):
        return missing(why)
    step, value = _lowest(view)
    evidence = Evidence(view.eval.name, step, value, None, "the minimum")
    return Reading(value, "", step, step, (evidence,))


def first(view: View) -> Reading:
    """The first evaluation."""
    if why := need(view.eval, 1):
        return missing(why)
    step, value = view.first(view.eval.name) or (view.eval.at(0), float(view.eval.last[0]))
    evidence = Evidence(view.eval.name, step, value, None, "the first evaluation")
    return Reading(value, "", step, step, (evidence,))


def last(view: View) -> Reading:
    """The last evaluation."""
    curve = view.eval
    if why := need(curve, 1):
        return missing(why)
    at = len(curve) - 1
    return found(float(curve.last[-1]), curve, at, at, "the last evaluation")


def last_rise(view: View) -> Reading:
    """The last evaluation over the minimum, both as logged."""
    if why := need(view.eval, 2):
        return missing(why)
    (_, bottom), end = _lowest(view), float(view.eval.last[-1])
    if bottom <= 0:
        return missing("the validation loss is not above 0")
    return Reading(end / bottom - 1)


def best_epochs(view: View) -> Reading:
    """Whole epochs up to the minimum: the length that the run would have needed."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    at = _minimum(view)
    planned, total = facts.epochs(view).value, facts.total_steps(view).value
    # Fractions of an epoch are exact; whole numbers may count from 0 or from 1.
    whole = curve.epochs is None or bool(np.all(curve.epochs == np.floor(curve.epochs)))
    if curve.epochs is not None and not whole and math.isfinite(curve.epochs[at]):
        passed = float(curve.epochs[at])
    elif planned is not None:
        passed = float(curve.steps[at]) / (total or float(curve.steps[-1])) * planned
    else:
        return facts.epochs(view)
    # Up to a tenth past a border counts as the border: evaluations seldom fall right on it.
    return found(max(1.0, math.ceil(passed - 0.1)), curve, at, at)


def best_step(view: View) -> Reading:
    """Step of the minimum."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading(float(_lowest(view)[0]))


def rise(view: View) -> Reading:
    """Rise of the validation loss from its minimum to the end, relative."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    bottom, (step, low) = lowest(curve), _lowest(view)
    if abs(bottom) < 1e-12:
        return missing("the validation loss reaches 0")
    value = (_end(curve) - bottom) / abs(bottom)
    end = point(curve, -1, "the last evaluation", expected=low)
    evidence = (Evidence(curve.name, step, low, None, "the minimum"), end)
    return Reading(value, "", step, curve.at(-1), evidence)


def rise_noise(view: View) -> Reading:
    """Rise of the validation loss from its minimum to the end, in noises of a level."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading((_end(curve) - lowest(curve)) / eval_noise(view) * _gain(curve))


def rise_trend(view: View) -> Reading:
    """Mann-Kendall z of the evaluations from the minimum on."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    past = curve.y[index_of_lowest(curve) :]
    return Reading(robust.mann_kendall_z(past) if past.size >= 4 else 0.0)


def rise_steady(view: View) -> Reading:
    """Share of the steps since the minimum that go up: 1 where each lies above the one before."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    steps = np.diff(curve.y[index_of_lowest(curve) :])
    return Reading(float((steps > 0).mean()) if steps.size else 0.0)


def rise_of_wander(view: View) -> Reading:
    """The rise over the largest earlier rise that was undone: a curve that wanders up and down does
    not overfit when it is up. UNSEEN for few evaluations, which have no such history."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    low, levels = index_of_lowest(curve), levels_of(curve)
    if low < 3 or len(curve) < MANY:
        return Reading(UNSEEN)
    before = levels[: low + 1]
    undone = float((before - np.minimum.accumulate(before)).max())
    rise = _end(curve) - lowest(curve)
    return Reading(min(UNSEEN, rise / max(undone, 1e-12)) if rise > 0 else 0.0)


def after_min(view: View) -> Reading:
    """Evaluations after the minimum: the lesser count of levels and of logged values."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading(float(len(curve) - 1 - max(index_of_lowest(curve), _minimum(view))))


def left(view: View) -> Reading:
    """The last evaluation over the first level of training, or else of validation."""
    curve = view.eval
    if why := need(curve, 1):
        return missing(why)
    began = loss_shape(view).start if len(view.loss) >= MIN_POINTS else float(curve.y[0])
    if abs(began) < 1e-12:
        return missing("the loss starts at 0")
    return Reading(float(curve.y[-1]) / abs(began))


def progress(view: View) -> Reading:
    """Relative fall from the first evaluation to the lowest one."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    first = float(curve.y[0])
    if abs(first) < 1e-12:
        return missing("the validation loss starts at 0")
    return Reading((first - lowest(curve)) / abs(first))


def noise(view: View) -> Reading:
    """Noise of an evaluation over the median level."""
    curve = view.eval
    if why := need(curve, 6):
        return missing(why)
    return Reading(eval_noise(view) / max(abs(median(curve.y)), 1e-12))


def nonfinite(view: View) -> Reading:
    points = view.points("eval/loss")
    if points is None:
        return missing("no eval/loss in the log")
    if not points.bad:
        return Reading(0.0)
    step = int(points.bad_steps[0])
    evidence = Evidence("eval/loss", step, float(points.bad_values[0]), None, "not finite")
    return Reading(float(points.bad), "", step, points.bad_last_step, (evidence,))


SIGNALS = {
    "eval.points": Signal("points", "finite evaluations", points),
    "eval.best": Signal("loss", "lowest validation loss as logged", best),
    "eval.first": Signal("loss", "first validation loss", first),
    "eval.last": Signal("loss", "last validation loss", last),
    "eval.last_rise": Signal(
        "share", "last validation loss above the lowest, as logged", last_rise
    ),
    "eval.best_epochs": Signal(
        "epochs", "whole epochs up to the lowest validation loss", best_epochs
    ),
    "eval.best_step": Signal("step", "step of the lowest validation loss", best_step),
    "eval.rise": Signal("share", "rise of validation since its minimum", rise),
    "eval.rise_noise": Signal(
        "noise", "rise of validation since its minimum, in noises", rise_noise
    ),
    "eval.rise_trend": Signal("z", "Mann-Kendall z of validation since its minimum", rise_trend),
    "eval.rise_steady": Signal("share", "upward steps since validation's minimum", rise_steady),
    "eval.rise_of_wander": Signal(
        "ratio", "rise of validation over its largest earlier rise that was undone", rise_of_wander
    ),
    "eval.after_min": Signal("evaluations", "evaluations after the minimum", after_min),
    "eval.left": Signal("share", "last validation loss over the starting loss", left),
    "eval.progress": Signal("share", "fall from the first validation loss to the lowest", progress),
    "eval.noise": Signal("share", "noise of one evaluation over the median validation loss", noise),
    "eval.nonfinite": Signal("points", "evaluations that are not finite", nonfinite),
}
