"""Broken numbers in the loss: NaN and inf, exact zeros, a constant value, hidden NaN."""

from __future__ import annotations

import math

import numpy as np

from advisor.findings import Evidence, Reading
from advisor.median import median
from advisor.signals.base import Signal, missing
from advisor.signals.points import Points
from advisor.signals.view import View

NO_LOSS = "no train/loss in the log"


def _at(step: int, value: float, text: str) -> tuple[Evidence, ...]:
    return (Evidence("train/loss", step, value, None, text),)


def _train(view: View) -> Points | None:
    return view.points("train/loss")


def nonfinite(view: View) -> Reading:
    """Count of NaN and inf in the training loss, with the first and last step."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if not points.bad:
        return Reading(0.0)
    first, value = int(points.bad_steps[0]), float(points.bad_values[0])
    evidence = _at(first, value, f"{value} at step {first}")
    return Reading(float(points.bad), "", first, points.bad_last_step, evidence)


def nonfinite_end(view: View) -> Reading:
    """1 where the last training loss is not finite: the run did not come back."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    return Reading(float(not math.isfinite(points.last_value)))


def nonfinite_start(view: View) -> Reading:
    """Share of the run that was finite before the first NaN or inf; 1 where all is."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    return Reading(float(points.bad_at[0]) / points.count if points.bad else 1.0)


def nonfinite_step(view: View) -> Reading:
    """Step of the first NaN or inf loss."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if not points.bad:
        return missing("all losses are finite")
    return Reading(float(points.bad_steps[0]))


def hidden_nan(view: View) -> Reading:
    """Points with a loss of exactly 0 and a gradient norm that is not finite: what a log
    filter makes of NaN."""
    hidden = view.hidden_nan()
    if hidden is None:
        return missing("no train/loss or no gradient norm in the log")
    if not hidden.count:
        return Reading(0.0)
    text = "loss 0.0 beside a gradient norm that is not finite"
    evidence = _at(hidden.step, hidden.value, text)
    return Reading(float(hidden.count), "", hidden.step, hidden.last_step, evidence)


def hidden_end(view: View) -> Reading:
    """1 where the last point is such a one: the run did not come back."""
    hidden, points = view.hidden_nan(), _train(view)
    if hidden is None or points is None:
        return missing("no train/loss or no gradient norm in the log")
    return Reading(float(hidden.count > 0 and hidden.last_step == points.last_step))


def zero_share(view: View) -> Reading:
    """Share of losses that are exactly 0 without having come near 0 before.

    Zeros that a falling loss reaches by rounding are left out: the last value before the first
    zero must be above 20 units of the log's last digit.
    """
    points = _train(view)
    if points is None or points.count < 3:
        return missing("fewer than 3 training losses")
    if not points.zeros:
        return Reading(0.0)
    before = np.abs(points.before_zero)
    before = before[np.isfinite(before)]
    if before.size and median(before) < 0.02:
        return Reading(0.0)
    share, step = points.zeros / points.count, points.zero_step
    text = f"exactly 0 in {share:.0%} of the points, since step {step}"
    return Reading(share, "", step, points.last_step, _at(step, 0.0, text))


def constant_share(view: View) -> Reading:
    """Longest stretch of one same value, as a share of the run."""
    points = _train(view)
    if points is None or points.count < 5:
        return missing("fewer than 5 training losses")
    longest = points.longest
    if longest.count < 2:
        return Reading(0.0)
    share = longest.count / points.count
    text = f"exactly {longest.value:g} at {longest.count} points in a row"
    evidence = _at(longest.step, longest.value, text)
    return Reading(share, "", longest.step, longest.last_step, evidence)


SIGNALS = {
    "loss.nonfinite": Signal("points", "NaN and inf in the training loss", nonfinite),
    "loss.nonfinite_end": Signal("0 or 1", "the last training loss is not finite", nonfinite_end),
    "loss.nonfinite_after": Signal("share", "of the run before the first NaN", nonfinite_start),
    "loss.nonfinite_step": Signal("step", "of the first NaN or inf", nonfinite_step),
    "loss.hidden_nan": Signal("points", "loss 0.0 beside a NaN gradient", hidden_nan),
    "loss.hidden_end": Signal("0 or 1", "such is the last point", hidden_end),
    "loss.zero_share": Signal("share", "losses that are exactly 0, not by rounding", zero_share),
    "loss.constant_share": Signal("share", "longest stretch of one same value", constant_share),
}
