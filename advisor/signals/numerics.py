"""Broken numbers in the loss: NaN and inf, exact zeros, a constant value, hidden NaN."""

from __future__ import annotations

import math

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals.base import Signal, missing
from advisor.signals.curves import View
from advisor.signals.summaries import Points

NO_LOSS = "no train/loss in the log"


def _at(step: int, value: float, text: str) -> tuple[Evidence, ...]:
    return (Evidence("train/loss", step, value, None, text),)


def _train(view: View) -> Points | None:
    return view.points("train/loss")


def _span_of_broken(points: Points) -> tuple[int, int, tuple[Evidence, ...]]:
    """Return the first and the last step that is not finite, and the first as evidence."""
    first, value = int(points.bad_steps[0]), float(points.bad_values[0])
    return first, int(points.bad_last_step), _at(first, value, f"{value} at step {first}")


def nonfinite(view: View) -> Reading:
    """Count of NaN and inf in the training loss, with the first and last step."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if not points.bad:
        return Reading(0.0)
    return Reading(float(points.bad), "", *_span_of_broken(points))


def nonfinite_end(view: View) -> Reading:
    """1 where the last training loss is not finite: the run did not recover."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if math.isfinite(points.last_value):
        return Reading(0.0)
    return Reading(1.0, "", *_span_of_broken(points))


def nonfinite_start(view: View) -> Reading:
    """Share of the run before the first NaN or inf; 1 where all is finite."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if not points.bad:
        return Reading(1.0)
    return Reading(float(points.bad_at[0]) / points.count, "", *_span_of_broken(points))


def nonfinite_step(view: View) -> Reading:
    """Step of the first NaN or inf loss."""
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    if not points.bad:
        return missing("all losses are finite")
    return Reading(float(points.bad_steps[0]), "", *_span_of_broken(points))


def hidden_nan(view: View) -> Reading:
    """Points with a loss of exactly 0 and a non-finite gradient norm: some trainers log NaN as
    0."""
    hidden = view.hidden_nan()
    if hidden is None:
        return missing("no train/loss or no gradient norm in the log")
    if not hidden.count:
        return Reading(0.0)
    text = "loss 0.0 beside a gradient norm that is not finite"
    evidence = _at(hidden.step, hidden.value, text)
    return Reading(float(hidden.count), "", hidden.step, hidden.last_step, evidence)


def hidden_end(view: View) -> Reading:
    """1 where the last point hides a NaN: the run did not recover."""
    hidden, points = view.hidden_nan(), _train(view)
    if hidden is None or points is None:
        return missing("no train/loss or no gradient norm in the log")
    return Reading(float(hidden.count > 0 and hidden.last_step == points.last_step))


def zero_share(view: View) -> Reading:
    """Share of losses that are exactly 0 where the loss was not near 0 before.

    Zeros that a falling loss reaches by rounding do not count: the last value before the first zero
    must exceed 20 units of the log's last digit.
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


def zero_tail(view: View) -> Reading:
    """Losses of exactly 0 at the end of the run, after finite ones well above 0.

    Label masks do not switch on in mid-run for good: a filter writes 0 for NaN. Where finite
    gradient norms are logged beside them, the zeros are real.
    """
    points = _train(view)
    if points is None:
        return missing(NO_LOSS)
    tail, before = points.same, np.abs(points.before_zero)
    before = before[np.isfinite(before)]
    starts = points.zeros > 0 and tail.value == 0 and tail.step == points.zero_step
    if not starts or not before.size or median(before) < 0.02 or _real_norms(view, tail.step):
        return Reading(0.0)
    text = f"exactly 0 from step {tail.step} to the end, after {before[-1]:.4g}"
    evidence = _at(tail.step, 0.0, text)
    return Reading(float(tail.count), "", tail.step, tail.last_step, evidence)


def _real_norms(view: View, step: int) -> bool:
    norms = view.series("train/grad_norm")
    if norms is None:
        return False
    late = norms.values[norms.steps >= step]
    return bool((np.isfinite(late) & (late > 0)).any())


def hidden_points(view: View) -> Reading:
    """Losses of 0 that hide NaN, as a gradient norm or the losses before show."""
    both = [hidden_nan(view), zero_tail(view)]
    return max(both, key=lambda reading: reading.value or 0.0)


def constant_share(view: View) -> Reading:
    """Longest stretch of one value, as a share of the run."""
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
    "loss.nonfinite": Signal("points", "NaN and inf values in the training loss", nonfinite),
    "loss.nonfinite_end": Signal("0 or 1", "the last training loss is not finite", nonfinite_end),
    "loss.nonfinite_after": Signal(
        "share", "share of the run before the first NaN or inf loss", nonfinite_start
    ),
    "loss.nonfinite_step": Signal("step", "step of the first NaN or inf loss", nonfinite_step),
    "loss.hidden_nan": Signal(
        "points", "points with a loss of 0 and a NaN gradient norm", hidden_nan
    ),
    "loss.hidden_end": Signal(
        "0 or 1", "the last point has a loss of 0 and a NaN gradient norm", hidden_end
    ),
    "loss.zero_share": Signal(
        "share", "share of losses that are exactly 0, other than by rounding", zero_share
    ),
    "loss.zero_tail": Signal(
        "points", "losses of exactly 0 at the end, after finite ones", zero_tail
    ),
    "loss.hidden_points": Signal("points", "losses of 0 that hide NaN", hidden_points),
    "loss.constant_share": Signal(
        "share", "longest stretch of one value, as a share of the run", constant_share
    ),
}
