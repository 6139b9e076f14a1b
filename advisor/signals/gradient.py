"""The gradient norm (before clipping): outliers, growth, vanishing, clipping."""

from __future__ import annotations

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import View

MIN_POINTS = 10
FEW = 20  # norms; with fewer, the growth has to be plain
FELT, FELT_NOISES = 0.1, 4.0  # share of the level, and noises: no frozen model falls so far
SPIKE = 10.0  # times the median: LABELLING's definition of a gradient spike


def _early(view: View) -> int:
    """Return how many points to skip at the start, where large gradients are normal."""
    return min(max(2, len(view.grad) // 20), 20)


def usual_norm(view: View) -> Reading:
    if why := need(view.grad, MIN_POINTS):
        return missing(why)
    return Reading(median(view.grad.y))


def spikes(view: View) -> Reading:
    """Points above ten times the median, after the first steps."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    middle = median(curve.y)
    if middle <= 0:
        return missing("the median gradient norm is 0")
    hot = np.flatnonzero(curve.high > SPIKE * middle)
    hot = hot[hot >= _early(view)]
    evidence = tuple(
        Evidence(curve.name, *view.peak(curve, int(i)), middle, "above 10 x median")
        for i in hot[:3]
    )
    first, last = (curve.at(hot[0]), curve.at(hot[-1])) if hot.size else (None, None)
    return Reading(float(hot.size), "", first, last, evidence)


def spike_share(view: View) -> Reading:
    reading = spikes(view)
    if reading.value is None:
        return reading
    return Reading(reading.value / len(view.grad))


def spike_ratio(view: View) -> Reading:
    """Largest gradient norm over the median, after the first steps."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    middle = median(curve.y)
    if middle <= 0:
        return missing("the median gradient norm is 0")
    i = _early(view) + int(np.argmax(curve.high[_early(view) :]))
    evidence = (Evidence(curve.name, *view.peak(curve, i), middle),)
    return Reading(float(curve.high[i]) / middle, "", curve.at(i), curve.at(i), evidence)


def growth(view: View) -> Reading:
    """Level of the last tenth over the median of the second to fifth tenth. With few points: the
    last half over the first third, if each late norm exceeds each early one."""
    curve, n = view.grad, len(view.grad)
    if why := need(curve, MIN_POINTS):
        return missing(why)
    few = n < FEW
    early = curve.y[1 : 1 + n // 3] if few else curve.y[n // 10 : n // 2]
    last = n - n // 2 if few else n - max(3, n // 10)
    if (base := median(early)) <= 0:
        return missing("the gradient norm is 0")
    if few and curve.y[last:].min() <= early.max():
        return missing(f"early and late norms overlap, and {n} points do not tell their growth")
    value = median(curve.y[last:]) / base
    return found(value, curve, last, n - 1, f"{value:.1f} times its earlier level")


def zero_share(view: View) -> Reading:
    curve = view.grad
    if why := need(curve, 3):
        return missing(why)
    zeros = np.flatnonzero(curve.y == 0)
    share = zeros.size / len(curve)
    if not zeros.size:
        return Reading(0.0)
    text = f"exactly 0 in {share:.0%} of the points"
    return found(share, curve, int(zeros[0]), int(zeros[-1]), text)


def zero_tail(view: View) -> Reading:
    """Share of the points, at the end, whose norm is exactly 0: nothing is trained there."""
    curve = view.grad
    if why := need(curve, 5):
        return missing(why)
    alive = np.flatnonzero(curve.y != 0)
    first = int(alive[-1]) + 1 if alive.size else 0
    if first == len(curve):
        return Reading(0.0)
    share = (len(curve) - first) / len(curve)
    return found(share, curve, first, len(curve) - 1, f"exactly 0 for the last {share:.0%}")


def zero_unfelt(view: View) -> Reading:
    """1 where the loss keeps falling, far beyond its noise, while the norms at the end are 0. Such
    norms are a fault of the log: sharded optimisers leave them out."""
    curve, loss = view.grad, view.loss
    alive = np.flatnonzero(curve.y != 0)
    first = int(alive[-1]) + 1 if alive.size else 0
    if first == len(curve):
        return Reading(0.0)
    values = loss.y[int(np.searchsorted(loss.steps, curve.at(first))) :]
    k = max(3, values.size // 10)
    if values.size < MIN_POINTS:
        return Reading(0.0)
    begins, ends = median(values[:k]), median(values[-k:])
    fall, noise = begins - ends, max(loss.spread, loss.noise)
    return Reading(float(fall > max(FELT * abs(begins), FELT_NOISES * noise)))


def vanishing(view: View) -> Reading:
    """Level of the last tenth over that of the first fifth: small where gradients vanish."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    n = len(curve)
    early = median(curve.y[: max(3, n // 5)])
    if early <= 0:
        return missing("the gradient norm starts at 0")
    k = max(3, n // 10)
    value = median(curve.y[-k:]) / early
    text = f"{value:.2g} of its first level"
    return found(value, curve, n - k, n - 1, text)


def level_low(view: View) -> Reading:
    """Largest norm of the last half: tiny where no gradient flows."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    half = len(curve) // 2
    return found(float(np.max(curve.y[half:])), curve, half, len(curve) - 1)


def nonfinite_share(view: View) -> Reading:
    """Share of gradient norms that are not finite, after the first 5 steps or 5%."""
    points = view.points("train/grad_norm")
    if points is None or points.count < 5:
        return missing("no gradient norm in the log")
    skip = max(5, points.count // 20) if points.count > 10 else 0
    late, at = points.bad_after(skip)
    whole = max(1, points.count - skip)
    if at is None:
        return Reading(0.0)
    first = int(points.bad_steps[at])
    value = float(points.bad_values[at])
    evidence = (Evidence("train/grad_norm", first, value, None, "not finite"),)
    return Reading(late / whole, "", first, points.bad_last_step, evidence)


def nonfinite_tail(view: View) -> Reading:
    """Share of the gradient norms, at the end, without a finite one."""
    points = view.points("train/grad_norm")
    if points is None or points.count < 3:
        return missing("no gradient norm in the log")
    tail = points.bad_tail
    if not tail.count:
        return Reading(0.0)
    said = f"none is finite for the last {tail.count} points"
    evidence = (Evidence("train/grad_norm", tail.step, tail.value, None, said),)
    return Reading(tail.count / points.count, "", tail.step, points.last_step, evidence)


def nonfinite_run(view: View) -> Reading:
    """Number of gradient norms, at the end, without a finite one."""
    share, points = nonfinite_tail(view), view.points("train/grad_norm")
    if share.value is None or points is None:
        return share
    return Reading(float(round(share.value * points.count)))


def nonfinite_all(view: View) -> Reading:
    """Share of all gradient norms that are not finite."""
    points = view.points("train/grad_norm")
    if points is None or points.count < 2:
        return missing("no gradient norm in the log")
    return Reading(points.bad / points.count)


def clipped_share(view: View) -> Reading:
    """Share of points whose norm exceeds the clipping threshold."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    limit = view.config.get("clip_grad_norm.max_norm", 1.0)
    if not isinstance(limit, int | float) or limit <= 0:
        return missing("gradients are not clipped")
    share = float((curve.y > limit).mean())
    return found(share, curve, 0, len(curve) - 1, f"above max_norm {limit:g} in {share:.0%}")


def over_clip(view: View) -> Reading:
    """Median gradient norm over the clipping threshold."""
    curve = view.grad
    if why := need(curve, MIN_POINTS):
        return missing(why)
    limit = view.config.get("clip_grad_norm.max_norm", 1.0)
    if not isinstance(limit, int | float) or limit <= 0:
        return missing("gradients are not clipped")
    return found(median(curve.y) / limit, curve, 0, len(curve) - 1)


SIGNALS = {
    "grad.median": Signal("norm", "median gradient norm", usual_norm),
    "grad.spikes": Signal(
        "points", "gradient norms above ten times the median, after the first steps", spikes
    ),
    "grad.spike_share": Signal(
        "share", "share of gradient norms above ten times the median", spike_share
    ),
    "grad.spike_ratio": Signal("ratio", "largest gradient norm over the median", spike_ratio),
    "grad.growth": Signal("ratio", "gradient norm late in the run over early in it", growth),
    "grad.zero_share": Signal("share", "share of gradient norms that are exactly 0", zero_share),
    "grad.zero_unfelt": Signal(
        "0 or 1", "the loss keeps falling while the logged gradient norm is 0", zero_unfelt
    ),
    "grad.zero_tail": Signal(
        "share", "share of the run at its end with a gradient norm of 0", zero_tail
    ),
    "grad.vanishing": Signal(
        "ratio", "gradient norm of the last tenth over that of the first fifth", vanishing
    ),
    "grad.late_max": Signal("norm", "largest gradient norm in the last half", level_low),
    "grad.nonfinite_share": Signal(
        "share",
        "share of gradient norms that are not finite, after the first steps",
        nonfinite_share,
    ),
    "grad.nonfinite_tail": Signal(
        "share", "share of gradient norms at the end without a finite one", nonfinite_tail
    ),
    "grad.nonfinite_run": Signal(
        "points", "gradient norms at the end without a finite one", nonfinite_run
    ),
    "grad.nonfinite_all": Signal(
        "share", "share of all gradient norms that are not finite", nonfinite_all
    ),
    "grad.clipped_share": Signal(
        "share", "share of gradient norms above the clipping threshold", clipped_share
    ),
    "grad.over_clip": Signal(
        "ratio", "median gradient norm over the clipping threshold", over_clip
    ),
}
