"""Learning-curve fits, linear once the exponent is fixed: where is the curve heading?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from advisor.base.median import median, medians
from advisor.signals.robust import Array

# Exponents seen for loss curves lie between 0.1 and 1 (Hestness 2017, Kaplan 2020); the
# exponential covers short fine-tunes. The shift t0 (share of the run) absorbs warm-up.
POWERS = (0.15, 0.3, 0.5, 0.75, 1.0, 1.5)
SHIFTS = (0.005, 0.03, 0.1, 0.3)
RATES = (0.7, 1.5, 3.0, 6.0, 12.0, 25.0)
BLOCKS = 120  # medians that the curve is reduced to first: robust and fast


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted curve, in loss units: ``asymptote``, ``now`` (level at the end) and ``gain`` (fall
    from training half as long again). ``low`` and ``high`` bound the gain over all shapes that
    predict about as well."""

    asymptote: float
    now: float
    gain: float
    low: float
    high: float


SHAPES = [(a, s) for a, s in product(POWERS, SHIFTS)]


def _bases(x: Array) -> Array:
    """Return the values of all shapes at the places ``x``, of shape ``(shapes, n)``."""
    powers, shifts = np.array(SHAPES).T[..., None]
    return np.concatenate([(x + shifts) ** -powers, np.exp(-np.array(RATES)[:, None] * x)])


def _solve(bases: Array, y: Array) -> tuple[Array, Array]:
    """Return (level, amplitude >= 0) of least squares y = level + amplitude * basis, each of
    shape ``(shapes,)``."""
    means = bases.mean(axis=1)
    centred = bases - means[:, None]
    variance = np.einsum("ij,ij->i", centred, centred)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        slope = np.where(variance > 0, centred @ y / variance, 0.0)
    amplitude = np.maximum(0.0, slope)
    return y.mean() - amplitude * means, amplitude


def block_medians(x: Array, y: Array, blocks: int = BLOCKS) -> tuple[Array, Array]:
    """Reduce a curve to at most ``blocks`` medians of equal counts of points."""
    if y.size <= blocks:
        return x, y
    x_out, y_out = np.empty(blocks), np.empty(blocks)
    small, more = divmod(y.size, blocks)  # as array_split: the first ``more`` have one more
    border = more * (small + 1)
    for out, values in ((x_out, x), (y_out, y)):
        if more:
            out[:more] = medians(values[:border].reshape(more, small + 1))
        out[more:] = medians(values[border:].reshape(blocks - more, small))
    return x_out, y_out


def fit_curve(steps: Array, values: Array) -> Fit | None:
    """Fit level + amplitude * shape(t), with the shape of least error on the last quarter.

    Projected losses stay at or above zero. Returns None for fewer than 8 points.
    """
    span = float(steps[-1] - steps[0]) if steps.size else 0.0
    if steps.size < 8 or span <= 0:
        return None
    x, y = block_medians((steps - steps[0]) / span, values)
    cut = max(5, int(y.size * 0.75))
    bases = _bases(x)
    ends, laters = _bases(np.array([1.0, 1.5])).T
    with np.errstate(invalid="ignore", over="ignore"):
        level, amplitude = _solve(bases[:, :cut], y[:cut])
        fitted = level[:, None] + amplitude[:, None] * bases[:, cut:]
        errors = medians(np.abs(y[cut:] - fitted))
        level, amplitude = _solve(bases, y)
        now = level + amplitude * ends
        gain = np.minimum(amplitude * (ends - laters), np.maximum(now, 0.0))
    rows = np.stack([errors, gain, level, now], axis=1)
    tried = sorted(map(tuple, rows[np.isfinite(rows).all(axis=1)].tolist()))
    if not tried:  # values so large that their squares are infinite
        return None
    close = [t for t in tried if t[0] <= 1.15 * tried[0][0] + 1e-12]
    gains = [t[1] for t in close]
    _, gain, level, now = tried[0]
    return Fit(level, now, median(gains), min(gains), max(gains))
