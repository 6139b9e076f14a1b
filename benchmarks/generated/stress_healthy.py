"""Runs of the second set that are to be left alone, and what may be said of them."""

from __future__ import annotations

import numpy as np

from benchmarks.generated.stress_curves import Draft, draft, epoch_log, logistic, power
from benchmarks.generated.stress_kinds import MILD, STUCK, Kind

Made = tuple[Draft, list[str], list[str]]


def power_cosine(rng: np.random.Generator) -> Made:
    return draft(rng, rng.choice(["cosine", "polynomial"]), evals=(0, 15)).settle(), [], []


def rests_at_constant_rate(rng: np.random.Generator) -> Made:
    """Down by most of its level and at rest, under autocorrelated or heavy noise."""
    d = draft(rng, rng.choice(["constant", None]), low=40, evals=(0, 12))  # type: ignore[arg-type]
    d.clean = d.clean[0] * (0.12 + 0.88 / (1 + (d.t / 0.08) ** 2.5))
    d.follow()
    return d.settle(), [], []


def warms_up_long(rng: np.random.Generator) -> Made:
    d = draft(rng, "cosine", low=40)
    assert d.lr is not None
    share = rng.uniform(0.2, 0.35)
    d.lr = d.lr.max() * np.where(d.t < share, d.t / share, (1 - d.t) / (1 - share))
    work = np.cumsum(d.lr) / d.lr.sum()
    d.clean = power(work, d.clean[0], 0.35 * d.clean[0], 40, 0.9)
    return d.settle(), [], []


def cosine_restarts(rng: np.random.Generator) -> Made:
    """Bumps of a few per cent where the rate goes back up, on purpose."""
    d = draft(rng, "restarts", low=120, rel=(0.01, 0.04))
    assert d.lr is not None
    d.clean = d.clean * (1 + 0.04 * d.lr / d.lr.max())
    return d.settle(), [], []


def double_descent(rng: np.random.Generator) -> Made:
    """A bump half way, and a lower end."""
    d = draft(rng, "cosine", low=60, rel=(0.01, 0.05))
    middle = rng.uniform(0.3, 0.5)
    d.clean = d.clean * (1 + 0.07 * np.exp(-(((d.t - middle) / 0.08) ** 2)))
    d.clean = d.clean * (1 - 0.25 * logistic(d.t, 0.6, 0.06))
    return d.settle(), [], ["spikes"]


def smoothed_labels(rng: np.random.Generator) -> Made:
    """Label smoothing: a high floor, reached early under a falling rate."""
    d = draft(rng, "cosine", evals=(4, 12))
    d.clean = power(d.t, 6.0, rng.uniform(1.3, 2.0), 300, 1.1)
    d.follow(0.02)
    return d.settle(), [], []


def starts_low(rng: np.random.Generator) -> Made:
    """Goes on from a trained model: little left to gain, under a falling rate."""
    d = draft(rng, "cosine", low=60, rel=(0.03, 0.08))
    d.clean = d.clean[0] * (0.82 + 0.18 * (1 - d.t) ** 2)
    return d.settle(), [], [*STUCK, "lr_too_low", "slow"]


def noisy_evals(rng: np.random.Generator) -> Made:
    d = draft(rng, "cosine", low=150, evals=(25, 70), rel=(0.01, 0.05))
    d.eval_rel = rng.uniform(0.01, 0.04)
    return d.settle(), [], []


def few_noisy_evals(rng: np.random.Generator) -> Made:
    d = draft(rng, "cosine", low=40, evals=(4, 8), rel=(0.01, 0.05))
    d.eval_rel = rng.uniform(0.004, 0.012)
    return d.settle(), [], []


def epochs_at_rest(rng: np.random.Generator) -> Made:
    """One row an epoch, converged, validation level at its end."""
    d = epoch_log(rng, 15, 40)
    d.clean = d.clean[0] * (0.1 + 0.9 * np.exp(-np.arange(d.n) / (d.n * rng.uniform(0.08, 0.14))))
    d.follow(0.08)
    return d.settle(), [], []


def epochs_with_noise(rng: np.random.Generator) -> Made:
    """The same with the wide validation noise of small image sets."""
    d, _, _ = epochs_at_rest(rng)
    d.eval_rel = rng.uniform(0.03, 0.06)
    return d.settle(), [], ["noisy", "overfit", "overfit_onset"]


def batch_of_one(rng: np.random.Generator) -> Made:
    d = draft(rng, "cosine", low=200, rel=(0.15, 0.35))
    return d.settle(), [], ["noisy"]


def fifteen_points(rng: np.random.Generator) -> Made:
    d = draft(rng, rng.choice(["cosine", "polynomial"]), low=11, high=20, rel=(0.01, 0.04))
    return d.settle(), [], MILD


def wild_gradients(rng: np.random.Generator) -> Made:
    """Log-normal gradient norms beside a calm loss: wide, and no spikes."""
    d = draft(rng, "cosine", low=80)
    d.grad = np.exp(0.6 * rng.standard_normal(d.n))
    return d.settle(), [], []


def memorises(rng: np.random.Generator) -> Made:
    """Drops at whole epochs, no validation."""
    d = draft(rng, "polynomial", low=90, rel=(0.01, 0.05))
    d.epochs = float(rng.integers(3, 6))
    d.clean = d.clean[0] * 0.7 ** np.floor(np.minimum(d.t * d.epochs, d.epochs - 0.01))
    return d.settle(), [], ["undertrained"]


def data_in_one_order(rng: np.random.Generator) -> Made:
    """A sawtooth of the data's order, epoch after epoch."""
    d = draft(rng, "cosine", low=120, rel=(0.01, 0.04))
    d.epochs = float(rng.integers(3, 6))
    d.clean = d.clean * (1 + rng.uniform(0.1, 0.25) * (np.mod(d.t * d.epochs, 1) - 0.5))
    return d.settle(), [], ["noisy", "oscillation"]


def near_nought(rng: np.random.Generator) -> Made:
    """Learnt by heart: ten thousandths of the start, with blips that are gone at once."""
    d = draft(rng, "cosine", low=80, rel=(0.03, 0.1))
    d.clean = d.clean[0] * (1e-4 + np.exp(-d.t / 0.03))
    d.settle()
    d.loss[rng.integers(d.n // 2, d.n, 3)] *= 8
    return d, [], ["spikes", "spike", "noisy"]


HEALTHY: dict[str, Kind] = {
    f.__name__: f
    for f in (
        power_cosine, rests_at_constant_rate, warms_up_long, cosine_restarts, double_descent,
        smoothed_labels, starts_low, noisy_evals, few_noisy_evals, epochs_at_rest,
        epochs_with_noise, batch_of_one, fifteen_points, wild_gradients, memorises,
        data_in_one_order, near_nought,
    )
}  # fmt: skip
