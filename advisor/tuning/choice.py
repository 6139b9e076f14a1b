"""Which run is best, and whether it is better than the start beyond the noise of evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advisor.tuning.trial import Trial

CLEAR = 2.0  # standard errors of a difference
LEAST = 1e-3  # relative: a gain below this is none, whatever the noise


def counts(trial: Trial) -> bool:
    """Say whether a run can be the best: whole, and with a validation loss."""
    return trial.kind == "full" and trial.best_val is not None and trial.status != "crashed"


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the whole run with the lowest validation loss; of equal ones the earlier."""
    found = [trial for trial in trials if counts(trial)]
    return min(found, key=lambda t: (float(t.best_val or 0.0), t.number), default=None)


def margin(one: Trial, other: Trial, noise: float | None) -> float:
    """Return by how much the lowest losses of two runs must differ to say something."""
    level = max(abs(one.best_val or 0.0), abs(other.best_val or 0.0))
    return max(LEAST * level, CLEAR * math.sqrt(2) * (noise or 0.0))


def is_better(one: Trial, other: Trial, noise: float | None) -> bool:
    """Say whether a run's lowest validation loss lies clearly below another's."""
    if not counts(one):
        return False
    if not counts(other):
        return True
    gain = float(other.best_val or 0.0) - float(one.best_val or 0.0)
    return gain > margin(one, other, noise)


def noise_of(history: Sequence[Trial]) -> float | None:
    """Return the noise of an evaluation: the lowest that any run's curve shows.

    From a handful of evaluations that still fall, an estimate comes out too high, not too low.
    """
    return min((trial.noise for trial in history if trial.noise), default=None)


def verdict(trial: Trial, before: Sequence[Trial]) -> str:
    """Say what becomes of a run's change: start, kept, even (within the noise) or reverted.

    '' of a probe, which only shows the way.
    """
    if not before:
        return "start"
    if trial.kind == "probe":
        return ""
    best = best_of(before)
    if best is None or not counts(trial):
        return "kept" if counts(trial) else "reverted"
    noise = noise_of((*before, trial))
    if is_better(trial, best, noise):
        return "kept"
    return "reverted" if is_better(best, trial, noise) else "even"
