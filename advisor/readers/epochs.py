"""Making steps that restart in each epoch continue across epochs."""

from __future__ import annotations

import numpy as np

from advisor.base.median import median
from advisor.run import FloatArray


def across_epochs(step: FloatArray, epoch: FloatArray, totals: FloatArray) -> FloatArray:
    """Return the steps of the run where they restart in most epochs, else the steps as they are.

    All arrays have one entry per row. ``totals`` holds the steps per epoch where the row states
    them, otherwise NaN; without any, the length of an epoch is estimated from the steps seen.
    """
    backward = np.diff(step) <= 0
    if not backward.any() or not np.isfinite(epoch).all() or np.unique(epoch).size < 2:
        return step
    onward = np.diff(epoch) > 0
    if not np.any(backward & onward) or np.mean(backward[onward]) < 0.5:
        return step
    if np.isfinite(totals).any():
        size = float(np.nanmax(totals))
    else:
        distinct = np.unique(step[np.isfinite(step)])
        gap = median(np.diff(distinct)) if distinct.size > 1 else 1.0
        size = float(distinct[-1] - distinct[0]) + gap if distinct.size else 1.0
        if distinct.size == 1:
            size = max(1.0, float(distinct[0]))  # one row per epoch, which counts all its steps
    return (np.floor(epoch) - (0.0 if epoch.min() < 1 else 1.0)) * size + step
