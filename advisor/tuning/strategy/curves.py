"""Comparison of runs, whole or cut off: over the same samples, in units of their own noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.base.median import median
from advisor.base.numbers import is_number, number, same
from advisor.tuning.space import BATCH, EPOCHS, STEPS, is_alike
from advisor.tuning.trial import Steps, Trial

FLOOR = 1e-3  # share of the loss: the standard error of a difference is never taken as smaller
FEWEST = 2  # values for a difference that means something
BROKEN = ("nonfinite", "oom", "crashed")
UNLEARNT = 1.15  # times the first losses: single steps vary by less, so higher means unlearning
SHARE = 0.25  # of a run: the length of a probe; by then rates rank as they do at the end
SHORTEST = 4  # logged losses that a probe needs
MOST = 0.6  # of a run: a longer probe costs almost as much as the whole run


@dataclass(frozen=True, slots=True)
class Lead:
    """How far one run's loss lies above another's over the same samples."""

    value: float  # mean difference in loss; negative: the first run is better; inf: it broke
    error: float  # its standard error

    def is_better(self, times: float = 1.0) -> bool:
        """Return whether the first run is better by more than ``times`` standard errors."""
        return self.value < -times * self.error


def is_broken(trial: Trial) -> bool:
    """Return whether a run failed: it crashed, or its loss diverged or is not finite."""
    said = any(f.severity == "error" and f.symptom in ("divergence", "nonfinite")
               for f in trial.findings)  # fmt: skip
    return trial.status in BROKEN or (said and not _still_gains(trial))


def _still_gains(trial: Trial) -> bool:
    """Return whether the last evaluation is the lowest.

    Then a divergence that the training losses show is only noise of small batches.
    """
    held = trial.val_losses
    if held.size == 0 or is_above_start(trial):
        return False
    return bool(np.isfinite(held).all() and held[-1] <= held.min())


def is_above_start(trial: Trial) -> bool:
    """Return whether the loss of a run's second half is far above its first losses: it unlearns."""
    if trial.losses.size < SHORTEST:
        return False
    later = trial.losses[trial.losses.size // 2 :]
    return not float(np.median(later)) <= UNLEARNT * float(trial.losses[:2].max())


def batch_size_of(trial: Trial) -> float:
    """Return the samples of one optimizer step; 1 where unknown."""
    value = trial.values.get(BATCH)
    return number(value) if is_number(value) and number(value) > 0 else 1.0


def length_of(trial: Trial) -> int:
    """Return how many optimizer steps a run took, 0 where its log has no training loss."""
    return int(trial.loss_steps[-1]) + 1 if trial.loss_steps.size else 0


def best_share(trial: Trial) -> float:
    """Return the share of the run (0 to 1) that was done at its lowest validation loss.

    1 where it has no evaluation.
    """
    if trial.val_losses.size == 0 or not length_of(trial):
        return 1.0
    at = min(range(trial.val_losses.size), key=lambda i: float(trial.val_losses[i]))
    return float(trial.val_steps[at] + 1) / length_of(trial)


def probe_samples(base: Trial) -> float | None:
    """Return how many samples a probe of a run sees; None where the run is too short to probe."""
    total = length_of(base)
    if base.loss_steps.size < SHORTEST:
        return None
    steps = max(SHARE * total, int(base.loss_steps[SHORTEST - 1]) + 1)
    return steps * batch_size_of(base) if steps <= MOST * total else None


def is_same_length(one: Trial, other: Trial) -> bool:
    """Return whether two runs have the same epochs and max_steps, so that schedules agree."""
    return all(same(one.values.get(key), other.values.get(key)) for key in (EPOCHS, STEPS))


def measure_lead(
    one: Trial, other: Trial, samples: float | None = None, noise: float | None = None
) -> Lead | None:
    """Return how far the loss of ``one`` lies above that of ``other`` over the same samples.

    By validation loss at the last evaluation within both runs and the first ``samples``; without
    one, by training loss over the later half of those samples. Runs with the same seed and batch
    see the same samples at each step, so the differences step by step have far less noise than
    the losses. ``noise`` is the standard error of one evaluation. None where the runs share too
    few values.
    """
    held = _lead_by_validation(one, other, samples, noise)
    if held is not None:
        return held
    if one.loss_steps.size == 0 or other.loss_steps.size == 0:
        return None
    if is_alike(one.values, other.values, [k for k in one.values if k != BATCH]):
        return _lead_step_by_step(
            one, other, None if samples is None else samples / batch_size_of(other)
        )
    ends = [float(t.loss_steps[-1] + 1) * batch_size_of(t) for t in (one, other)]
    high = min(*ends, math.inf if samples is None else samples)
    left, right = (_losses_between(t, high / 2, high) for t in (one, other))
    if min(left.size, right.size) < FEWEST:
        return None
    if not np.isfinite(left).all():
        return Lead(math.inf, 0.0)
    spread = math.sqrt(_variance(left) / left.size + _variance(right) / right.size)
    return Lead(float(left.mean() - right.mean()), max(spread / 2, _floor(right)))


def _lead_by_validation(
    one: Trial, other: Trial, samples: float | None, noise: float | None
) -> Lead | None:
    """Return the lead in validation loss at the last evaluation of ``one`` within both runs.

    The curve of ``other`` is interpolated there. None where that lies in the first half.
    """
    curves = [_evaluations(trial) for trial in (one, other)]
    if not all(seen.size for seen, _ in curves):
        return None
    most = math.inf if samples is None else samples
    (seen, losses), (others, known) = curves
    end = min(*(float(t.loss_steps[-1] + 1) * batch_size_of(t) for t in (one, other)), most)
    last = min(float(seen[seen <= most + 1e-9].max(initial=0.0)), float(others.max()))
    if last < max(end / 2, float(seen.min()), float(others.min())):
        return None
    gap = float(np.interp(last, seen, losses) - np.interp(last, others, known))
    return Lead(gap, max((noise or 0.0) * math.sqrt(2), FLOOR * abs(float(known[-1]))))


def _evaluations(trial: Trial) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the finite evaluations, (n,) each: samples seen by then, validation loss."""
    fine = np.isfinite(trial.val_losses)
    return _samples_seen(trial, trial.val_steps[fine]), trial.val_losses[fine]


def _samples_seen(trial: Trial, steps: Steps) -> NDArray[np.float64]:
    """Return how many samples a run has seen after each step, (n,) as ``steps``."""
    return (steps + 1).astype(np.float64) * batch_size_of(trial)


def _lead_step_by_step(one: Trial, other: Trial, until: float | None) -> Lead | None:
    steps, at, to = np.intersect1d(one.loss_steps, other.loss_steps, return_indices=True)
    if until is not None:
        at, to = at[steps < until], to[steps < until]
    half = len(at) // 2
    gaps = one.losses[at][half:] - other.losses[to][half:]
    if gaps.size < FEWEST:
        return None
    if not np.isfinite(gaps).all():
        broken = not np.isfinite(one.losses[at]).all()
        return Lead(math.inf if broken else -math.inf, 0.0)
    error = math.sqrt(_variance(gaps) / gaps.size)
    return Lead(float(gaps.mean()), max(error, _floor(other.losses[to])))


def _losses_between(trial: Trial, low: float, high: float) -> NDArray[np.float64]:
    seen = _samples_seen(trial, trial.loss_steps)
    return trial.losses[(seen > low) & (seen <= high + 1e-9)]


def _variance(values: NDArray[np.float64]) -> float:
    """Return the variance by the median absolute deviation: an outlier does not count."""
    spread = 1.4826 * median(np.abs(values - np.median(values)))
    return float(spread**2)


def _floor(values: NDArray[np.float64]) -> float:
    return FLOOR * abs(median(values))


def loss_at_start(trials: Sequence[Trial]) -> float | None:
    """Return the loss before training: the median of all runs' first training losses, or the
    highest first evaluation, whichever is higher. None where no run logged a finite loss."""
    firsts = [float(t.losses[0]) for t in trials if t.losses.size and math.isfinite(t.losses[0])]
    if not firsts:
        return None
    held = [float(t.val_losses[0]) for t in trials if t.val_losses.size and not is_broken(t)
            and not is_above_start(t) and math.isfinite(t.val_losses[0])]  # fmt: skip
    return max(median(np.array(firsts)), *held, -math.inf)
