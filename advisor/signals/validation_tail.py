"""The end of the validation loss: does it still fall, how fast, and how surely?"""

from __future__ import annotations

import numpy as np

from advisor.findings import Reading
from advisor.signals import robust
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import Curve, View
from advisor.signals.validation import (
    eval_noise,
    index_of_lowest,
    level_size,
    levels_of,
    lowest,
    tail_points,
)


def _fall(curve: Curve) -> float:
    """Return the fall over the last third of the evaluations (at least two intervals), in loss
    units."""
    k = tail_points(curve)
    x, y = curve.steps[-k:], curve.y[-k:]
    return -robust.theil_sen(x, y) * float(x[-1] - x[0])


def _ground_won(curve: Curve) -> float:
    """Return how far the end lies below the best level before the last third."""
    levels = levels_of(curve)
    return float(levels[: len(levels) - tail_points(curve) + 1].min() - levels[-1])


def new_ground(view: View) -> Reading:
    """How far the end lies below the best level before the last third, relative to the last
    evaluation."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    return Reading(_ground_won(curve) / max(abs(float(curve.y[-1])), 1e-12))


def tail_drop(view: View) -> Reading:
    """Relative fall over the last third of the evaluations (at least two intervals)."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = tail_points(curve)
    value = _fall(curve) / max(abs(float(curve.y[-1])), 1e-12)
    began = float(curve.y[-1]) + _fall(curve)
    share = f"{abs(_fall(curve)) / began:.1%} " if began > 0 and curve.y[-1] > 0 else ""
    way = "falls" if value > 0 else "rises"
    text = f"{way} {share and 'by ' + share}over the last {k} evaluations"
    return found(value, curve, len(curve) - k, len(curve) - 1, text)


def tail_fall(view: View) -> Reading:
    """Fall over the last third of the evaluations, relative to where the third began."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    end, fall = float(curve.y[-1]), _fall(curve)
    if end <= 0 or end + fall <= 0:
        return missing("the validation loss is not above 0")
    return Reading(fall / (end + fall))


def tail_errors(view: View) -> Reading:
    """Fall over the last third of the evaluations, or the new ground if less, in standard errors of
    the line."""
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k = tail_points(curve)
    error = robust.line_error(curve.steps[-k:], curve.y[-k:], eval_noise(view))
    return Reading(min(_fall(curve), _ground_won(curve)) / error)


def falls_to_end(view: View) -> Reading:
    """Share of the last third's steps that go down, where the last levels are the lowest.

    Many evaluations are judged by their levels, few by their values.
    """
    curve = view.eval
    if why := need(curve, 3):
        return missing(why)
    k, levels = tail_points(curve), levels_of(curve)
    steps = np.diff(levels[-k:])
    if index_of_lowest(curve) < len(curve) - 1 - (k >= 6) - level_size(curve) // 2:
        return Reading(0.0)
    return Reading(float((steps < 0).sum()) / max(1, int((steps != 0).sum())))


def falls_all(view: View) -> Reading:
    """Number of evaluations if each lies below the one before, else 0."""
    if why := need(view.eval, 3):
        return missing(why)
    return Reading(robust.falling_points(view.eval.y))


def tail_share(view: View) -> Reading:
    """Fall of the last third as a share of the whole fall of the validation loss."""
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


SIGNALS = {
    "eval.tail_drop": Signal(
        "share", "fall of validation over its last third, relative to the end", tail_drop
    ),
    "eval.tail_fall": Signal(
        "share",
        "fall of validation over its last third, relative to where the third began",
        tail_fall,
    ),
    "eval.tail_share": Signal(
        "share", "share of validation's whole fall that its last third holds", tail_share
    ),
    "eval.new_ground": Signal(
        "share", "final validation loss below its best level before the last third", new_ground
    ),
    "eval.tail_errors": Signal(
        "errors", "fall of validation over its last third, in standard errors", tail_errors
    ),
    "eval.pace": Signal("ratio", "speed of validation's last third over its middle third", pace),
    "eval.falls_all": Signal(
        "evaluations", "evaluations, if each lies below the one before, else 0", falls_all
    ),
    "eval.falls_to_end": Signal(
        "share", "share of downward steps in validation's last third", falls_to_end
    ),
}
