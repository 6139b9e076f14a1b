"""Broken numbers in the loss: NaN and inf, exact zeros, a constant value, hidden NaN."""

from __future__ import annotations

import numpy as np

from advisor.findings import Evidence, Reading
from advisor.median import median
from advisor.run import Series
from advisor.signals.base import Signal, missing
from advisor.signals.view import View


def _at(series: Series, index: int, text: str) -> Evidence:
    return Evidence(series.name, int(series.steps[index]), float(series.values[index]), None, text)


def _train(view: View) -> Series | None:
    series = view.series("train/loss")
    return series if series is not None and len(series) else None


def nonfinite(view: View) -> Reading:
    """Count of NaN and inf in the training loss, with the first and last step."""
    series = _train(view)
    if series is None:
        return missing("no train/loss in the log")
    bad = np.flatnonzero(~np.isfinite(series.values))
    if not bad.size:
        return Reading(0.0)
    first, last = int(bad[0]), int(bad[-1])
    text = f"{series.values[first]} at step {series.steps[first]}"
    return Reading(
        float(bad.size),
        "",
        int(series.steps[first]),
        int(series.steps[last]),
        (_at(series, first, text),),
    )


def nonfinite_end(view: View) -> Reading:
    """1 where the last training loss is not finite: the run did not come back."""
    series = _train(view)
    if series is None:
        return missing("no train/loss in the log")
    return Reading(float(not np.isfinite(series.values[-1])))


def nonfinite_start(view: View) -> Reading:
    """Share of the run that was finite before the first NaN or inf; 1 where all is."""
    series = _train(view)
    if series is None:
        return missing("no train/loss in the log")
    bad = np.flatnonzero(~np.isfinite(series.values))
    return Reading(float(bad[0]) / len(series) if bad.size else 1.0)


def nonfinite_step(view: View) -> Reading:
    """Step of the first NaN or inf loss."""
    series = _train(view)
    if series is None:
        return missing("no train/loss in the log")
    bad = np.flatnonzero(~np.isfinite(series.values))
    if not bad.size:
        return missing("all losses are finite")
    return Reading(float(series.steps[bad[0]]))


def hidden_nan(view: View) -> Reading:
    """Points with a loss of exactly 0 and a gradient norm that is not finite: what a log
    filter makes of NaN."""
    series, grad = _train(view), view.series("train/grad_norm")
    if series is None or grad is None:
        return missing("no train/loss or no gradient norm in the log")
    _, at, other = np.intersect1d(series.steps, grad.steps, return_indices=True)
    bad = at[(series.values[at] == 0) & ~np.isfinite(grad.values[other])]
    if not bad.size:
        return Reading(0.0)
    return Reading(
        float(bad.size),
        "",
        int(series.steps[bad[0]]),
        int(series.steps[bad[-1]]),
        (_at(series, int(bad[0]), "loss 0.0 beside a gradient norm that is not finite"),),
    )


def zero_share(view: View) -> Reading:
    """Share of losses that are exactly 0 without having come near 0 before.

    Zeros that a falling loss reaches by rounding are left out: the last value before the first
    zero must be above 20 units of the log's last digit.
    """
    series = _train(view)
    if series is None or len(series) < 3:
        return missing("fewer than 3 training losses")
    zeros = np.flatnonzero(series.values == 0)
    if not zeros.size:
        return Reading(0.0)
    first = int(zeros[0])
    before = np.abs(series.values[max(0, first - 5) : first])
    before = before[np.isfinite(before)]
    if before.size and median(before) < 0.02:
        return Reading(0.0)
    share = zeros.size / len(series)
    text = f"exactly 0 in {share:.0%} of the points, since step {series.steps[first]}"
    return Reading(
        share, "", int(series.steps[first]), int(series.steps[-1]), (_at(series, first, text),)
    )


def constant_share(view: View) -> Reading:
    """Longest stretch of one same value, as a share of the run."""
    series = _train(view)
    if series is None or len(series) < 5:
        return missing("fewer than 5 training losses")
    values = series.values
    repeats = (values[1:] == values[:-1]) & np.isfinite(values[1:])
    same = np.concatenate(([0], repeats.astype(np.int8), [0]))
    edges = np.flatnonzero(np.diff(same))
    if not edges.size:
        return Reading(0.0)
    lengths = edges[1::2] - edges[::2]
    k = int(np.argmax(lengths))
    first, count = int(edges[2 * k]), int(lengths[k]) + 1
    share = count / len(series)
    text = f"exactly {values[first]:g} at {count} points in a row"
    last = int(series.steps[min(first + count - 1, len(series) - 1)])
    return Reading(share, "", int(series.steps[first]), last, (_at(series, first, text),))


SIGNALS = {
    "loss.nonfinite": Signal("points", "NaN and inf in the training loss", nonfinite),
    "loss.nonfinite_end": Signal("0 or 1", "the last training loss is not finite", nonfinite_end),
    "loss.nonfinite_after": Signal("share", "of the run before the first NaN", nonfinite_start),
    "loss.nonfinite_step": Signal("step", "of the first NaN or inf", nonfinite_step),
    "loss.hidden_nan": Signal("points", "loss 0.0 beside a NaN gradient", hidden_nan),
    "loss.zero_share": Signal("share", "losses that are exactly 0, not by rounding", zero_share),
    "loss.constant_share": Signal("share", "longest stretch of one same value", constant_share),
}
