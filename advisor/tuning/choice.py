"""Choosing the best run, and whether it beats the start by more than evaluation noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.tuning.trial import Trial

CLEAR = 2.0  # standard errors of a difference between two runs, about a 95% level
LEAST = 1e-3  # share of the loss: a smaller gain does not count, however small the noise


def is_eligible(trial: Trial) -> bool:
    """Return whether a run can be the best: a whole run that did not crash, with validation."""
    return trial.kind == "full" and trial.best_val is not None and trial.status != "crashed"


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the whole run with the lowest validation loss, the earlier of equals."""
    found = [trial for trial in trials if is_eligible(trial)]
    return min(found, key=lambda t: (float(t.best_val or 0.0), t.number), default=None)


def clear_margin(one: Trial, other: Trial, noise: float | None) -> float:
    """Return the smallest clear difference between two runs' lowest validation losses.

    ``noise`` is the standard error of one evaluation; a difference has sqrt(2) times as much.
    """
    level = max(abs(one.best_val or 0.0), abs(other.best_val or 0.0))
    return max(LEAST * level, CLEAR * math.sqrt(2) * (noise or 0.0))


def is_better(one: Trial, other: Trial, noise: float | None) -> bool:
    """Return whether a run's lowest validation loss lies clearly below another's."""
    if not is_eligible(one):
        return False
    if not is_eligible(other):
        return True
    gain = float(other.best_val or 0.0) - float(one.best_val or 0.0)
    return gain > clear_margin(one, other, noise)


def noise_of(history: Sequence[Trial]) -> float | None:
    """Return the standard error of one evaluation: the lowest estimate of any run.

    A few evaluations of a loss that still falls give an estimate that is too high, never too low.
    """
    return min((trial.noise for trial in history if trial.noise), default=None)


def judge_change(trial: Trial, before: Sequence[Trial]) -> str:
    """Return what happens to a run's change: start, kept, even (within the noise) or reverted.

    '' for a probe: only a whole run is kept or reverted.
    """
    if not before:
        return "start"
    if trial.kind == "probe":
        return ""
    best = best_of(before)
    if best is None or not is_eligible(trial):
        return "kept" if is_eligible(trial) else "reverted"
    noise = noise_of((*before, trial))
    if is_better(trial, best, noise):
        return "kept"
    return "reverted" if is_better(best, trial, noise) else "even"
