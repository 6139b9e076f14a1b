"""Sudden jumps of a curve: how many, how high, how slow to recover, and what led them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, missing, need
from advisor.signals.curves import Curve, View
from advisor.signals.loss import loss_shape
from advisor.signals.robust import Array

MIN_POINTS = 15
NOISES = 8.0  # a spike exceeds its surroundings by this many noises ...
TAILS = 2.5  # ... by this many times the largest downward excursions (heavy tails: no spikes)
LOG_NOISES = 6.0  # ... by this many noises of its logarithm
RELATIVE = 0.2  # ... by this share of the level
OF_FALL = 0.1  # ... and by this share of the run's whole gain


@dataclass(frozen=True, slots=True)
class Spike:
    """One jump: indices of its onset and of its return to the level before, and its height over
    that level."""

    first: int
    peak: int
    back: int
    base: float
    height: float

    @property
    def recovery(self) -> int:
        return self.back - self.first


def _before(values: Array, window: int) -> Array:
    """Return the median of the ``window`` points before each point (fewer at the start)."""
    n = values.size
    out = np.empty(n)
    out[0] = values[0]
    if n > 1:
        out[1 : min(window, n)] = robust.growing_medians(values[: min(window, n) - 1], 1)
    if n > window:
        out[window:] = robust.sliding_medians(values[:-1], window)
    return out


def find_spikes(curve: Curve, fall: float) -> list[Spike]:
    """Return the jumps of a curve; ``fall`` is the whole gain of the run, in loss units."""
    y, n = curve.high, len(curve)
    window = max(5, min(25, n // 8)) | 1
    around = robust.running_median(y, window)
    before = _before(y, window)
    residual = y - around
    noise = robust.mad_sd(residual)
    # noise often grows with the level: scale it where the level is above its median
    level = np.maximum(np.abs(around), 1e-12)
    scale = np.maximum(1.0, level / median(level))
    down = -residual[residual < 0]
    reach = float(np.quantile(down, 0.99)) if down.size >= 5 else 0.0
    limit = np.maximum(NOISES * noise * scale, TAILS * reach)
    limit = np.maximum(limit, np.maximum(RELATIVE * level, OF_FALL * abs(fall)))
    high = (y - before > limit) & _stands_out(y, around, before)
    hot = np.flatnonzero(high & (np.arange(n) >= 3))
    spikes: list[Spike] = []
    for i in hot:
        if spikes and i <= spikes[-1].back + 1:
            continue
        spikes.append(_follow(y, int(i), float(before[i]), float(limit[i])))
    return spikes


def _stands_out(y: Array, around: Array, before: Array) -> NDArray[np.bool_]:
    """Return whether points stand out on a logarithmic scale too: the noise of losses is often
    skewed, and its upper tail is not a series of spikes. True where the loss is not positive."""
    if min(float(y.min()), float(around.min()), float(before.min())) <= 0:
        return np.ones(y.size, dtype=np.bool_)
    noise = robust.mad_sd(np.log(y / around))
    return np.asarray(np.log(y / before) > LOG_NOISES * noise)


def _follow(y: Array, first: int, base: float, limit: float) -> Spike:
    """Return the jump that starts at ``first``: it ends once the curve is back within half the
    limit, or a quarter of the jump's height if that is more."""
    calm = base + max(0.5 * limit, 0.25 * (float(y[first]) - base))
    after = np.flatnonzero(y[first:] <= calm)
    back = first + int(after[0]) if after.size else y.size
    peak = first + int(np.argmax(y[first:back]))
    return Spike(first, peak, back, base, float(y[peak]) - base)


def loss_spikes(view: View) -> list[Spike]:
    memo = view.memo.get("spikes")
    if not isinstance(memo, list):
        memo = view.memo["spikes"] = find_spikes(view.loss, loss_shape(view).fall)
    return memo


def evidence_of(view: View, spike: Spike) -> Evidence:
    """Return the top of a jump as Evidence."""
    step, value = view.peak(view.loss, spike.peak)
    return Evidence(view.loss.name, step, value, spike.base, f"from a level of {spike.base:.4g}")


def _reading(value: float, view: View, spikes: list[Spike]) -> Reading:
    if not spikes:
        return Reading(value)
    curve = view.loss
    last = min(spikes[-1].back, len(curve) - 1)
    highest = sorted(sorted(spikes, key=lambda s: -s.height)[:3], key=lambda s: s.first)
    evidence = tuple(evidence_of(view, spike) for spike in highest)
    return Reading(value, "", curve.at(spikes[0].first), curve.at(last), evidence)


def count(view: View) -> Reading:
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    spikes = loss_spikes(view)
    return _reading(float(len(spikes)), view, spikes)


def height(view: View) -> Reading:
    """Height of the highest jump over the level before it, relative to that level."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    spikes = loss_spikes(view)
    value = max((s.height / max(abs(s.base), 1e-12) for s in spikes), default=0.0)
    return _reading(value, view, spikes)


def recovery(view: View) -> Reading:
    """Longest recovery, as a share of the run."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    spikes = loss_spikes(view)
    value = max((s.recovery / len(view.loss) for s in spikes), default=0.0)
    return _reading(value, view, spikes)


def recovery_points(view: View) -> Reading:
    """Longest recovery, in logged points."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    spikes = loss_spikes(view)
    value = max((float(s.recovery) for s in spikes), default=0.0)
    return _reading(value, view, spikes)


def early(view: View) -> Reading:
    """Jumps within the first tenth of the run or its warm-up."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    curve = view.loss
    border = curve.steps[0] + 0.1 * (curve.steps[-1] - curve.steps[0])
    spikes = [s for s in loss_spikes(view) if curve.steps[s.first] <= border]
    return _reading(float(len(spikes)), view, spikes)


def gradient_led(view: View) -> Reading:
    """Share of the loss's jumps at which the gradient norm, there or just before, is more than
    five times its median."""
    if why := need(view.loss, MIN_POINTS) or need(view.grad, MIN_POINTS):
        return missing(why)
    spikes, grad = loss_spikes(view), view.grad
    if not spikes:
        return missing("the loss does not jump")
    limit = 5 * median(grad.y)
    led = 0
    for s in spikes:
        i = int(np.searchsorted(grad.steps, view.loss.steps[s.first]))
        led += bool((grad.high[max(0, i - 2) : i + 2] > limit).any())
    return _reading(led / len(spikes), view, spikes)


SIGNALS = {
    "loss.spikes": Signal("jumps", "sudden jumps beyond noise and a relative floor", count),
    "loss.spike_height": Signal(
        "share", "height of the highest jump over the level before it", height
    ),
    "loss.spike_recovery": Signal(
        "share", "longest recovery from a jump, as a share of the run", recovery
    ),
    "loss.spike_recovery_points": Signal("points", "longest recovery from a jump", recovery_points),
    "loss.early_spikes": Signal("jumps", "jumps in the first tenth of the run", early),
    "loss.spikes_led": Signal(
        "share", "share of jumps that a jump of the gradient norm led", gradient_led
    ),
}
