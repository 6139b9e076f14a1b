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

DENSE = 5  # training points for each evaluation, from which on they bound its noise
UNSEEN = 9.0  # a rise that nothing before can be held against
MANY = 20  # evaluations whose spread can be measured about their own trend


def eval_noise(view: View) -> float:
    """Noise of one evaluation; a floor of 0.1% of the level where it cannot be measured.

    An evaluation averages many batches: where training is logged by the batch, its noise is an
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


def _window(curve: Curve) -> int:
    """Evaluations that make one level: more of them where many were made."""
    n = len(curve)
    return 1 if n < 9 else robust.window_for(n, 0.12, 3)


def levels_of(curve: Curve) -> Array:
    """The curve without its luckiest evaluations: the lowest of many is low by chance."""
    return robust.running_median(curve.y, _window(curve))


def _gain(curve: Curve) -> float:
    """Noise of one evaluation over that of a level."""
    window = _window(curve)
    if window == 1:
        return 1.0
    return max(1.0, math.sqrt(window) / MEDIAN_COST / curve.persistence)


def _low(curve: Curve) -> int:
    return int(np.argmin(levels_of(curve)))


def lowest(curve: Curve) -> float:
    return float(levels_of(curve)[_low(curve)])


def _end(curve: Curve) -> float:
    """Level at the end: the median of the last three evaluations (or more) past the minimum."""
    past = curve.y[_low(curve) :]
    return median(past[-min(max(3, _window(curve)), max(1, past.size - 1)) :])


def _tail_points(curve: Curve) -> int:
    return max(3, len(curve) // 3 + 1)


def points(view: View) -> Reading:
    return Reading(float(len(view.eval)))


def _lowest(view: View) -> tuple[int, float]:
    """Step and value of the minimum, as the header of a report names it."""
    curve = view.eval
    return view.lowest(curve.name) or (curve.at(_low(curve)), lowest(curve))


def _minimum(view: View) -> int:
    """Index of the evaluation that holds the minimum."""
    steps = view.eval.steps
    return min(int(np.searchsorted(steps, _lowest(view)[0])), steps.size - 1)


def best(view: View) -> Reading:
    """The minimum as it was logged."""
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
    """The last evaluation over the minimum, both as they were logged."""
    if why := need(view.eval, 2):
        return missing(why)
    (_, bottom), end = _lowest(view), float(view.eval.last[-1])
    if bottom <= 0:
        return missing("the validation loss is not above 0")
    return Reading(end / bottom - 1)


def best_epochs(view: View) -> Reading:
    """Whole epochs that hold the minimum: what a run of that length would have needed."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    at = _minimum(view)
    planned, total = facts.epochs(view).value, facts.total_steps(view).value
    # A fraction of an epoch is logged as such; whole numbers count from 0 or 1, nobody knows.
    whole = curve.epochs is None or bool(np.all(curve.epochs == np.floor(curve.epochs)))
    if curve.epochs is not None and not whole and math.isfinite(curve.epochs[at]):
        passed = float(curve.epochs[at])
    elif planned is not None:
        passed = float(curve.steps[at]) / (total or float(curve.steps[-1])) * planned
    else:
        return facts.epochs(view)
    # A tenth of an epoch past a border is the border: evaluations seldom fall right on it.
    return found(max(1.0, math.ceil(passed - 0.1)), curve, at, at)


def best_step(view: View) -> Reading:
    """Step of the minimum."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading(float(_lowest(view)[0]))


def rise(view: View) -> Reading:
    """End over minimum of the validation loss, relative."""
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
    """The same rise in noises of one level."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading((_end(curve) - lowest(curve)) / eval_noise(view) * _gain(curve))


def rise_trend(view: View) -> Reading:
    """Mann-Kendall z of the evaluations from the minimum on."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    past = curve.y[_low(curve) :]
    return Reading(robust.mann_kendall_z(past) if past.size >= 4 else 0.0)


def rise_steady(view: View) -> Reading:
    """Share of the steps from the minimum on that go up: 1 where each lies above the last."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    steps = np.diff(curve.y[_low(curve) :])
    return Reading(float((steps > 0).mean()) if steps.size else 0.0)


def rise_of_wander(view: View) -> Reading:
    """The rise over the largest earlier one that was undone again: a curve that wanders up and
    down does not overfit when it is up. Few evaluations have no such history: UNSEEN."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    low, levels = _low(curve), levels_of(curve)
    if low < 3 or len(curve) < MANY:
        return Reading(UNSEEN)
    before = levels[: low + 1]
    undone = float((before - np.minimum.accumulate(before)).max())
    rise = _end(curve) - lowest(curve)
    return Reading(min(UNSEEN, rise / max(undone, 1e-12)) if rise > 0 else 0.0)


def after_min(view: View) -> Reading:
    """Evaluations after the minimum, of levels and as it was logged."""
    curve = view.eval
    if why := need(curve, 2):
        return missing(why)
    return Reading(float(len(curve) - 1 - max(_low(curve), _minimum(view))))


def _fall(curve: Curve) -> float:
    """Fall over the last third of the evaluations (at least two intervals), in loss units."""
    k = _tail_points(curve)
    x, y = curve.steps[-k:], curve.y[-k:]
    return -robust.theil_sen(x, y) * float(x[-1] - x[0])


def _won(curve: Curve) -> float:
    """How far the end lies below the best level before the last third."""
    levels = levels_of(curve)
    return float(levels[: len(levels) - _tail_points(curve) + 1].min() - levels[-1])


def new_ground(view: View) -> Reading:
    """That distance relative to the last evaluation."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    return Reading(_won(curve) / max(abs(float(curve.y[-1])), 1e-12))


def tail_drop(view: View) -> Reading:
    """Relative fall over the last third of the evaluations (at least two intervals)."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = _tail_points(curve)
    value = _fall(curve) / max(abs(float(curve.y[-1])), 1e-12)
    began = float(curve.y[-1]) + _fall(curve)
    share = f"{abs(_fall(curve)) / began:.1%} " if began > 0 and curve.y[-1] > 0 else ""
    way = "falls" if value > 0 else "rises"
    text = f"{way} {share and 'by ' + share}over the last {k} evaluations"
    return found(value, curve, len(curve) - k, len(curve) - 1, text)


def tail_fall(view: View) -> Reading:
    """The same fall relative to where the last third began."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    end, fall = float(curve.y[-1]), _fall(curve)
    if end <= 0 or end + fall <= 0:
        return missing("the validation loss is not above 0")
    return Reading(fall / (end + fall))


def tail_errors(view: View) -> Reading:
    """The same fall, or the new ground where that is less, in standard errors of the line."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = _tail_points(curve)
    error = robust.line_error(curve.steps[-k:], curve.y[-k:], eval_noise(view))
    return Reading(min(_fall(curve), _won(curve)) / error)


def falls_to_end(view: View) -> Reading:
    """Share of the last third's steps that go down, where the last levels are the lowest.

    Many evaluations are judged by their levels, few by themselves.
    """
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k, levels = _tail_points(curve), levels_of(curve)
    steps = np.diff(levels[-k:])
    if _low(curve) < len(curve) - 1 - (k >= 6) - _window(curve) // 2:
        return Reading(0.0)
    return Reading(float((steps < 0).sum()) / max(1, int((steps != 0).sum())))


def falls_all(view: View) -> Reading:
    """Evaluations where each lies below the one before, else 0."""
    if why := need(view.eval, 3):
        return missing(why)
    return Reading(robust.falling_points(view.eval.y))


def tail_share(view: View) -> Reading:
    """The last third's fall as a share of the whole fall of the validation loss."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    whole = float(curve.y[0]) - lowest(curve)
    if whole <= 0:
        return Reading(0.0)
    return Reading(float(np.clip(_fall(curve) / whole, -1, 1)))


def pace(view: View) -> Reading:
    """Speed of the last third of the run over that of its middle third."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    start = max(0.0, float(2 * curve.steps[0] - curve.steps[1]))
    return Reading(robust.pace(curve.steps, curve.y, start))


def left(view: View) -> Reading:
    """The last evaluation over the level at which training, or else validation, began."""
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
    "eval.tail_drop": Signal(
        "share", "validation's fall over its last third, of its end", tail_drop
    ),
    "eval.tail_fall": Signal(
        "share",
        "validation's fall over its last third, of where the third began",
        tail_fall,
    ),
    "eval.tail_share": Signal("share", "share of validation's fall in its last third", tail_share),
    "eval.new_ground": Signal(
        "share", "final validation loss below its best level before the last third", new_ground
    ),
    "eval.tail_errors": Signal(
        "errors", "validation's fall over its last third, in errors", tail_errors
    ),
    "eval.pace": Signal("ratio", "speed of validation's last third over its middle third", pace),
    "eval.left": Signal("share", "last validation loss over the starting loss", left),
    "eval.falls_all": Signal(
        "evaluations", "falling evaluations, if each one falls, else 0", falls_all
    ),
    "eval.falls_to_end": Signal(
        "share", "share of downward steps in validation's last third", falls_to_end
    ),
    "eval.progress": Signal("share", "fall from the first validation loss to the lowest", progress),
    "eval.noise": Signal("share", "noise of one evaluation over the median validation loss", noise),
    "eval.nonfinite": Signal("points", "evaluations that are not finite", nonfinite),
}
