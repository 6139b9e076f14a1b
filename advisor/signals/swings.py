"""Structure of a curve beyond trend and noise: oscillation, data order, epoch staircase."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, missing, need, point
from advisor.signals.curves import Curve, View
from advisor.signals.loss import loss_shape
from advisor.signals.robust import Array

MIN_POINTS = 24
REGULAR = 0.2  # autocorrelation at a real period; persistent noise stays below


@dataclass(frozen=True, slots=True)
class Swings:
    """Slow swings about the trend: amplitude (half the peak-to-peak, in loss units), period in
    points (0: none), crossings of the trend, and how far they exceed white noise."""

    amplitude: float
    period: int
    regular: float
    crossings: int
    over_noise: float


def swings_of(curve: Curve) -> Swings:
    """Measure the swings of a curve about its long-term trend."""
    y, n = curve.y, len(curve)
    skip = n // 10  # the first fall is not a swing
    y = y[skip:]
    m = y.size
    trend = robust.running_median(y, robust.window_for(m, 0.4, 9, 2001))
    residual = y - trend
    wave = robust.autocorrelation(residual, min(m // 3, 400))
    period, regular = _peak(wave)
    # the average that removes the noise must keep the swings
    short = max(3, min(9, m // 12, period // 3 if regular > REGULAR else 9)) | 1
    kernel = np.ones(short) / short
    slow = np.convolve(residual, kernel, mode="valid")
    white = robust.local_noise(y) / np.sqrt(short)
    amplitude = 1.4 * robust.mad_sd(slow)
    signs = np.sign(slow[np.abs(slow) > 0.3 * amplitude])
    crossings = int(np.count_nonzero(np.diff(signs)))
    over = float(robust.mad_sd(slow) / max(white, 1e-12))
    return Swings(amplitude, period, regular, crossings, over)


def _peak(wave: Array) -> tuple[int, float]:
    """Return the first clear peak of an autocorrelation after its first trough."""
    below = np.flatnonzero(wave < 0)
    if not below.size or below[0] >= wave.size - 2:
        return 0, 0.0
    start = int(below[0])
    best = start + int(np.argmax(wave[start:]))
    return (best, float(wave[best])) if wave[best] > 0 else (0, 0.0)


def loss_swings(view: View) -> Swings:
    memo = view.memo.get("swings")
    if not isinstance(memo, Swings):
        memo = view.memo["swings"] = swings_of(view.loss)
    return memo


def epoch_points(view: View) -> float:
    """Return the length of an epoch in points, 0 when the log does not say."""
    curve = view.loss
    if curve.epochs is None or len(curve) < 2 or not np.isfinite(curve.epochs).all():
        return 0.0
    span = float(curve.epochs[-1] - curve.epochs[0])
    return len(curve) / span if span > 0 else 0.0


def _read_whole_curve(view: View, value: float, text: str) -> Reading:
    curve = view.loss
    return Reading(value, "", curve.at(0), curve.at(-1), (point(curve, -1, text),))


def amplitude(view: View) -> Reading:
    """Amplitude of slow swings relative to the median level."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    level = abs(median(view.loss.y))
    if level < 1e-12:
        return missing("the loss is 0")
    value = loss_swings(view).amplitude / level
    return _read_whole_curve(view, value, f"swings by about ±{value:.0%} around its trend")


def over_noise(view: View) -> Reading:
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    return Reading(loss_swings(view).over_noise)


def crossings(view: View) -> Reading:
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    return Reading(float(loss_swings(view).crossings))


def regularity(view: View) -> Reading:
    """Autocorrelation at the period of the swings: 1 for a regular wave, 0 for noise."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    return Reading(loss_swings(view).regular)


def follows_data(view: View) -> Reading:
    """1 where the period of the swings is an epoch or a whole fraction of it, else 0."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    swings, epoch = loss_swings(view), epoch_points(view)
    if not epoch or not swings.period or swings.regular < 0.3:
        return Reading(0.0)
    ratio = swings.period / epoch
    whole = max(1, round(ratio))
    return Reading(float(abs(ratio - whole) < 0.12 * whole))


def rises_within(view: View) -> Reading:
    """1 where the loss rises from its best level to the end no further than it rose within earlier
    epochs: the data are read in one order, the run is not unstable."""
    curve, epoch = view.loss, round(epoch_points(view))
    if len(curve) < MIN_POINTS or epoch < 6:
        return Reading(0.0)
    shape, k = loss_shape(view), max(3, epoch // 8)
    smooth = robust.running_median(curve.y, k)
    ends = range(len(curve) - epoch, epoch - 1, -epoch)
    before = [
        float(median(curve.y[end - k : end]) - smooth[end - epoch : end].min())
        for end in ends
        if end <= shape.best_index + k
    ]
    if not before:
        return Reading(0.0)
    usual = median(before) - 2 * _error(curve, k)  # the lowest of many is low by chance
    return Reading(float(shape.end - shape.best < 2 * usual))


def skew(view: View) -> Reading:
    """Sawtooth measure: share of falling points less share of rising ones, in the swings.

    A slow fall and a sudden rise that repeat mean data read in one order, not instability.
    """
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    steps = np.diff(view.loss.y)
    moved = steps[steps != 0]
    if not moved.size:
        return Reading(0.0)
    return Reading(float(np.count_nonzero(moved < 0) - np.count_nonzero(moved > 0)) / moved.size)


def alternates(view: View) -> Reading:
    """Negative autocorrelation of successive residuals: two series written as one."""
    if why := need(view.loss, 12):
        return missing(why)
    residual = view.loss.y - view.loss.smooth
    return Reading(-float(robust.autocorrelation(residual, 1)[1]))


def epoch_drops(view: View) -> Reading:
    """Number of sudden drops at whole epochs, beyond noise and 4% of the level.

    The fall beside the border, in windows of the same width, is subtracted.
    """
    curve = view.loss
    if why := need(curve, MIN_POINTS):
        return missing(why)
    epoch = epoch_points(view)
    if epoch < 6 or curve.epochs is None:
        return missing("no epochs in the log, or fewer than 6 points in one")
    k = int(min(max(3, epoch // 6), 40))
    drops: list[Evidence] = []
    for border in range(1, int(np.floor(curve.epochs[-1])) + 1):
        i = int(np.searchsorted(curve.epochs, border, side="right"))
        if i < k or i + k > len(curve):
            continue
        before = median(curve.y[i - k : i])
        after = median(curve.y[i : i + k])
        if before - after - _drift(curve, i, k) > max(4 * _error(curve, k), 0.04 * abs(before)):
            share = f"{1 - after / before:.0%} " if after > 0 else ""
            text = f"its level drops {share and 'by ' + share}at the end of epoch {border}"
            drops.append(point(curve, i, text, float(curve.last[i - 1])))
    first, last = (drops[0].step, drops[-1].step) if drops else (None, None)
    return Reading(float(len(drops)), "", first, last, tuple(drops[:3]))


def _error(curve: Curve, k: int) -> float:
    """Return the standard error of the difference of two levels of k points."""
    return float(1.25 * max(curve.noise, 1e-12) * np.sqrt(2 / k))


def _drift(curve: Curve, i: int, k: int) -> float:
    """Return the larger fall between neighbouring windows before and after index i; 0 for a
    rise."""
    halves = []
    for low in (i - 2 * k, i):
        part = curve.y[max(0, low) : low + 2 * k]
        half = part.size // 2
        if half >= 2:
            fall = float(median(part[:half]) - median(part[half:]))
            halves.append(fall * k / half)
    return max(0.0, max(halves, default=0.0))


def level_of_fall(view: View) -> Reading:
    """Amplitude of the swings as a share of the run's whole gain."""
    if why := need(view.loss, MIN_POINTS):
        return missing(why)
    fall = max(abs(loss_shape(view).fall), 1e-12)
    return Reading(loss_swings(view).amplitude / fall)


SIGNALS = {
    "loss.swing": Signal("share", "amplitude of slow swings over the level", amplitude),
    "loss.swing_noise": Signal("noise", "slow swings over what white noise would give", over_noise),
    "loss.swing_crossings": Signal("times", "how often the swings cross the trend", crossings),
    "loss.swing_regular": Signal(
        "share", "autocorrelation at the period of the swings", regularity
    ),
    "loss.swing_epoch": Signal("0 or 1", "the swings follow the epochs", follows_data),
    "loss.swing_of_fall": Signal(
        "share", "amplitude of slow swings as a share of the gain", level_of_fall
    ),
    "loss.rise_with_data": Signal(
        "0 or 1", "the order of the data explains the rise", rises_within
    ),
    "loss.sawtooth": Signal("share", "share of falling points less share of rising ones", skew),
    "loss.alternates": Signal("share", "how strongly successive points alternate", alternates),
    "loss.epoch_drops": Signal("drops", "sudden drops at epoch boundaries", epoch_drops),
}
