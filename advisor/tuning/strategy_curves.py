"""Comparing runs, whole or cut off: at the same steps, and in units of their own noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advisor.median import median
from advisor.tuning.trial import Trial

FLOOR = 1e-3  # of the level: no loss is known better than that
FEWEST = 3  # values, for a difference to say something
BROKEN = ("nonfinite", "oom", "crashed")


@dataclass(frozen=True, slots=True)
class Lead:
    """By how much one run's loss lies above another's at the same steps, and its standard error."""

    value: float
    error: float
    count: int = 0

    def worse(self, times: float = 2.0) -> bool:
        return self.value > times * self.error

    def better(self, times: float = 2.0) -> bool:
        return self.value < -times * self.error


def broke(trial: Trial) -> bool:
    """Say whether a run ended in numbers or an error that say: not so far."""
    return trial.status in BROKEN or any(
        said.severity == "error" and said.symptom in ("divergence", "nonfinite")
        for said in trial.findings
    )


def lead(one: Trial, other: Trial, until: int | None = None) -> Lead | None:
    """Return how much higher the training loss of ``one`` lies, over the later half of what both
    have of the first ``until`` steps.

    Runs of one seed see the same samples in the same order, so that their differences step by
    step hold far less noise than their losses do. None where they share too few steps.
    """
    steps, at, to = np.intersect1d(one.loss_steps, other.loss_steps, return_indices=True)
    if until is not None:
        keep = steps < until
        at, to = at[keep], to[keep]
    half = len(at) // 2
    gaps = one.losses[at][half:] - other.losses[to][half:]
    if gaps.size < FEWEST:
        return None
    if not np.isfinite(gaps).all():
        return Lead(math.inf if not np.isfinite(one.losses[at]).all() else -math.inf, 0.0)
    middle = float(np.mean(gaps))
    spread = 1.4826 * median(np.abs(gaps - np.median(gaps)))
    floor = FLOOR * abs(median(other.losses[to]))
    return Lead(middle, max(spread / math.sqrt(gaps.size), floor), int(gaps.size))


def validation_lead(one: Trial, other: Trial) -> Lead | None:
    """Return how much higher ``one`` lies at the last evaluation that both have."""
    steps, at, to = np.intersect1d(one.val_steps, other.val_steps, return_indices=True)
    known = steps >= 0
    if not known.any():
        return None
    gap = float(one.val_losses[at][known][-1] - other.val_losses[to][known][-1])
    level = abs(float(other.val_losses[to][known][-1]))
    error = max(one.noise or 0.0, other.noise or 0.0, FLOOR * level)
    if not math.isfinite(gap):
        return Lead(
            math.inf if not math.isfinite(float(one.val_losses[at][known][-1])) else -math.inf, 0.0
        )
    return Lead(gap, math.sqrt(2) * error, 1)


def length_of(trial: Trial) -> int:
    """Return how many steps a run took, as far as its log says."""
    return int(trial.loss_steps[-1]) + 1 if trial.loss_steps.size else 0


def started_at(trials: Sequence[Trial]) -> float | None:
    """Return the loss before anything was learnt: the median of the first losses of all runs."""
    firsts = [float(t.losses[0]) for t in trials if t.losses.size and math.isfinite(t.losses[0])]
    return median(np.array(firsts)) if firsts else None
