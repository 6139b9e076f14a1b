"""Learning-curve fits, linear once the exponent is fixed: where is the curve heading?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from advisor.median import median
from advisor.signals.robust import Array

# Exponents seen for loss curves lie between 0.1 and 1 (Hestness 2017, Kaplan 2020); the
# exponential covers short fine-tunes. The shift t0 (share of the run) absorbs warm-up.
POWERS = (0.15, 0.3, 0.5, 0.75, 1.0, 1.5)
SHIFTS = (0.005, 0.03, 0.1, 0.3)
RATES = (0.7, 1.5, 3.0, 6.0, 12.0, 25.0)
BLOCKS = 120  # the curve is reduced to block medians first: robust, and quick


@dataclass(frozen=True, slots=True)
class Fit:
    """``asymptote``, ``now`` (fitted end level) and ``gain`` of half a run more, in loss units;
    ``low`` and ``high`` bound the gain over all shapes that predict about as well."""

    asymptote: float
    now: float
    gain: float
    low: float
    high: float


def _basis(x: Array, shape: tuple[str, float, float]) -> Array:
    kind, a, shift = shape
    return (x + shift) ** -a if kind == "power" else np.exp(-a * x)


def _solve(basis: Array, y: Array) -> tuple[float, float]:
    """Return (level, amplitude >= 0) of least squares y = level + amplitude * basis."""
    centred = basis - basis.mean()
    variance = float(centred @ centred)
    amplitude = max(0.0, float(centred @ y) / variance) if variance > 0 else 0.0
    return float(y.mean() - amplitude * basis.mean()), amplitude


def block_medians(x: Array, y: Array, blocks: int = BLOCKS) -> tuple[Array, Array]:
    """Reduce a curve to at most ``blocks`` medians of equal counts of points."""
    if y.size <= blocks:
        return x, y
    parts = np.array_split(np.arange(y.size), blocks)
    return (
        np.array([median(x[p]) for p in parts]),
        np.array([median(y[p]) for p in parts]),
    )


def fit_curve(steps: Array, values: Array) -> Fit | None:
    """Fit level + amplitude * shape(t); shapes are chosen by the error on the last quarter.

    The loss is never let below zero in a projection. None for fewer than 8 points.
    """
    span = float(steps[-1] - steps[0]) if steps.size else 0.0
    if steps.size < 8 or span <= 0:
        return None
    x, y = block_medians((steps - steps[0]) / span, values)
    cut = max(5, int(y.size * 0.75))
    shapes = [("power", a, s) for a, s in product(POWERS, SHIFTS)]
    shapes += [("exponential", r, 0.0) for r in RATES]
    tried = []
    for shape in shapes:
        basis = _basis(x, shape)
        level, amplitude = _solve(basis[:cut], y[:cut])
        error = median(np.abs(y[cut:] - level - amplitude * basis[cut:]))
        level, amplitude = _solve(basis, y)
        end, later = _basis(np.array([1.0, 1.5]), shape)
        now = level + amplitude * end
        gain = min(amplitude * (end - later), max(now, 0.0))
        if np.isfinite([error, gain, level, now]).all():
            tried.append((error, gain, level, now))
    if not tried:  # values so large that their squares are infinite
        return None
    tried.sort()
    close = [t for t in tried if t[0] <= 1.15 * tried[0][0] + 1e-12]
    gains = [t[1] for t in close]
    _, gain, level, now = tried[0]
    return Fit(level, now, median(gains), min(gains), max(gains))
