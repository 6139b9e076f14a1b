"""Robust statistics of one curve: level, noise, trend. numpy only; every function is pure."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from advisor.base.median import median, medians

Array = NDArray[np.float64]

FASTER = 9.0  # pace of a curve that falls again after a stop
WIDE = 61  # points; wider windows slide faster as a sorted list
MAD_TO_SD = 1.4826  # MAD of a normal distribution to its standard deviation


def mad_sd(values: Array) -> float:
    """Return the standard deviation estimated from the median absolute deviation."""
    if values.size == 0:
        return 0.0
    return float(MAD_TO_SD * median(np.abs(values - median(values))))


def running_median(values: Array, window: int) -> Array:
    """Return the centred running median; at the ends the window is truncated, not padded.

    At least half a window remains there, so that the ends are at most sqrt(2) times noisier.
    """
    n = values.size
    half = min(window // 2, (n - 1) // 2)
    if half < 1:
        return values.copy()
    out = np.empty(n)
    out[half : n - half] = sliding_medians(values, 2 * half + 1)
    out[:half] = growing_medians(values[: 2 * half], half + 1)
    out[n - half :] = growing_medians(values[n - 2 * half :][::-1], half + 1)[::-1]
    return out


def growing_medians(values: Array, least: int) -> Array:
    """Return the medians of the first ``least`` values, of one more, and so on to all values."""
    if np.isnan(values).any():
        return np.array([median(values[:k]) for k in range(least, values.size + 1)])
    kept = sorted(values[: least - 1].tolist())
    out = []
    for value in values[least - 1 :].tolist():
        insort(kept, value)
        k = len(kept)
        out.append((kept[(k - 1) // 2] + kept[k // 2]) / 2)
    return np.array(out)


def sliding_medians(values: Array, window: int) -> Array:
    """Return the median of each full window, of shape ``(n - window + 1,)``."""
    if window <= WIDE or np.isnan(values).any():
        return medians(np.lib.stride_tricks.sliding_window_view(values, window))
    plain = values.tolist()
    kept = sorted(plain[:window])
    low, high = (window - 1) // 2, window // 2
    out = [(kept[low] + kept[high]) / 2]
    for old, new in zip(plain, plain[window:], strict=False):
        del kept[bisect_left(kept, old)]
        insort(kept, new)
        out.append((kept[low] + kept[high]) / 2)
    return np.array(out)


def window_for(n: int, share: float = 0.1, low: int = 5, high: int = 101) -> int:
    """Return an odd window: a share of the curve, adapted to short and long logs."""
    return int(min(max(low, n * share), high)) | 1


def local_noise(values: Array) -> float:
    """Return the noise of a curve: the robust spread of what a local line does not explain.

    Each point is compared with the mean of its neighbours (a second difference), so a trend does
    not inflate it; for white noise of deviation s the residual has s * sqrt(1.5).
    """
    if values.size < 3:
        return 0.0
    residual = values[1:-1] - 0.5 * (values[:-2] + values[2:])
    return float(MAD_TO_SD * median(np.abs(residual)) / math.sqrt(1.5))


def bent_noise(values: Array) -> float:
    """Return the noise of a bent curve: the robust spread of its third differences.

    For white noise of deviation s they have s * sqrt(20); a parabola has none.
    """
    if values.size < 4:
        return local_noise(values)
    return float(MAD_TO_SD * median(np.abs(np.diff(values, 3))) / math.sqrt(20))


def slow_level(values: Array) -> Array:
    """Return the running median over a fifth of the curve."""
    return running_median(values, window_for(values.size, 0.2))


def noise_around_median(values: Array, level: Array | None = None) -> float:
    """Return the robust spread around the running median: slow swings count as noise too.

    ``level`` is the curve's slow_level, where that is known.
    """
    if values.size < 5:
        return local_noise(values)
    residual = values - (slow_level(values) if level is None else level)
    return float(MAD_TO_SD * median(np.abs(residual)))


def successive_noise(values: Array) -> float:
    """Return the noise of a short curve (evaluations) from successive differences.

    Von Neumann's estimator made robust: differences are centred by their median, so a steady
    slope is not noise.
    """
    if values.size < 3:
        return 0.0
    steps = np.diff(values)
    return float(MAD_TO_SD * median(np.abs(steps - median(steps))) / math.sqrt(2))


@lru_cache(maxsize=8)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return all pairs i < j of n points, kept because a run's curves share their lengths."""
    return np.triu_indices(n, 1)


def falling_points(values: Array) -> float:
    """Return the number of values if each is below the one before, else 0."""
    return float(values.size) if bool((np.diff(values) < 0).all()) else 0.0


def _means(values: Array, count: int) -> Array:
    """Return the means of ``count`` stretches of about equal length."""
    edges = np.linspace(0, values.size, count + 1).astype(int)
    return np.asarray(np.add.reduceat(values, edges[:-1]) / np.diff(edges))


def theil_sen(x: Array, y: Array, limit: int = 300) -> float:
    """Return the median slope of all pairs (Theil 1950, Sen 1968), of means where there are more
    than ``limit`` points: single points of a long log would throw most of it away."""
    n = y.size
    if n < 2:
        return 0.0
    if n > limit:
        x, y, n = _means(x, limit), _means(y, limit), limit
    i, j = _pairs(n)
    dx = x[j] - x[i]
    good = dx > 0
    return median((y[j] - y[i])[good] / dx[good]) if good.any() else 0.0


def persistence(values: Array, level: Array | None = None) -> float:
    """Return how much wider a level of many points is than white noise would make it.

    sqrt((1 + r1) / (1 - r1)) of the residuals about a running median, clipped to three noises so
    that a single jump is not taken for persistence; 1 for white noise.
    """
    if values.size < 12:
        return 1.0
    residual = values - (slow_level(values) if level is None else level)
    limit = 3 * mad_sd(residual)
    r1 = float(np.clip(autocorrelation(np.clip(residual, -limit, limit), 1)[1], 0.0, 0.9))
    return math.sqrt((1 + r1) / (1 - r1))


def pace(x: Array, y: Array, start: float | None = None) -> float:
    """Return the speed of the last third of a curve over that of its middle third.

    1 for a straight line, 0.58 for a logarithm, 0.19 for an exponential that has come to rest
    (five time constants). Free of the loss's scale and offset, and of how high it began. Where
    the middle third does not fall, FASTER stands for 'faster than before', 0 for 'not at all'.
    ``start`` is where the run began, if not at the first point.
    """
    begin = float(x[0]) if start is None else start
    span = float(x[-1]) - begin
    first, second = begin + span / 3, begin + 2 * span / 3
    if y.size >= 9:
        middle, last = (x >= first) & (x <= second), x >= second
        early = -theil_sen(x[middle], y[middle])
        late = -theil_sen(x[last], y[last])
    else:
        levels = np.interp([first, second, x[-1]], x, y)
        early, late = float(levels[0] - levels[1]), float(levels[1] - levels[2])
    if late <= 0:
        return 0.0
    return min(late / early, FASTER) if early > 0 else FASTER


def line_error(x: Array, y: Array, noise: float) -> float:
    """Return the standard error of the rise or fall of a robust line through these points.

    sqrt(12 / n) times the noise of one point about the line, with the effective sample size of
    AR(1) residuals. ``noise`` is a floor, since few residuals underestimate it.
    """
    n = y.size
    slope = theil_sen(x, y)
    residual = y - slope * x
    spread = max(mad_sd(residual), noise)
    r1 = float(np.clip(autocorrelation(residual, 1)[1], 0.0, 0.9)) if n >= 12 else 0.0
    return spread * math.sqrt(12 / max(1, n) * (1 + r1) / (1 - r1))


def autocorrelation(values: Array, lags: int) -> Array:
    """Return the autocorrelation at lags 0..lags (biased estimator); zeros without variance."""
    centred = values - values.mean()
    variance = float(centred @ centred)
    out = np.zeros(lags + 1)
    out[0] = 1.0
    if variance <= 0:
        return out
    size = 1 << (2 * values.size - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    full = np.fft.irfft(spectrum * np.conj(spectrum), size)
    count = min(lags, values.size - 1)
    out[1 : count + 1] = full[1 : count + 1] / variance
    return out


def mann_kendall_z(values: Array, limit: int = 400) -> float:
    """Return the Mann-Kendall z of a trend, corrected for autocorrelation.

    The variance is scaled by (1 + r1) / (1 - r1) of the detrended residuals, the effective
    sample size of an AR(1) series (Bayley and Hammersley 1946).
    """
    n = values.size
    if n < 4:
        return 0.0
    if n > limit:
        values, n = _means(values, limit), limit
    i, j = _pairs(n)
    score = float(np.sign(values[j] - values[i]).sum())
    x = np.arange(n, dtype=float)
    residual = values - theil_sen(x, values) * x
    r1 = float(np.clip(autocorrelation(residual, 1)[1], 0.0, 0.9))
    variance = n * (n - 1) * (2 * n + 5) / 18 * (1 + r1) / (1 - r1)
    return (score - math.copysign(1, score)) / math.sqrt(variance) if score else 0.0
