"""Kinds of the second set: faults that a careful reader would name, and runs to be left alone.

Each kind returns a Draft with what has to be said (one of the names; nothing for a healthy run)
and what may be said. Faults are drawn well above the noise: this set asks whether the rules
hold for other forms, the generator asks where their limits lie.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.generated.stress_curves import Draft, draft, epoch_log, logistic, power

Kind = Callable[[np.random.Generator], tuple[Draft, list[str], list[str]]]
STUCK = ["plateau", "early_plateau", "underfit"]
BARELY = ["lr_too_low", "slow"]
MILD = ["undertrained", "slow"]


def undertrained_power(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["constant", "inverse", None]), low=30, rel=(0.004, 0.02))  # type: ignore[arg-type]
    d.clean = power(d.t, d.clean[0], 0.0, rng.uniform(3, 40), rng.uniform(0.3, 0.6))
    d.follow()
    return d.settle(), ["undertrained"], BARELY


def undertrained_epochs(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = epoch_log(rng)
    d.clean = d.clean[0] * (1 - rng.uniform(0.25, 0.6) * d.t ** rng.uniform(0.6, 1.1))
    d.follow()
    return d.settle(), ["undertrained"], BARELY


def undertrained_few_evals(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "constant", low=40, evals=(3, 6), rel=(0.006, 0.04))
    d.clean = power(d.t, d.clean[0], 0.0, rng.uniform(2, 15), rng.uniform(0.35, 0.7))
    d.follow()
    return d.settle(), ["undertrained"], BARELY


def overfit_epochs(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = epoch_log(rng, 12)
    turn = rng.uniform(0.25, 0.6)
    d.clean = power(d.t, d.clean[0], 0.0, 40, rng.uniform(0.8, 1.3))
    bottom, rise = 0.5 * d.clean[0], rng.uniform(0.12, 0.8)
    u = d.t / turn
    d.eval_clean = bottom * np.where(u < 1, 1 + 0.8 * (1 - u) ** 2, 1 + rise * (d.t - turn))
    return d.settle(), ["overfit"], ["overfit_onset"]


def overfit_last_evals(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["cosine", "constant"]), low=40, evals=(4, 6), rel=(0.006, 0.03))
    k = len(d.eval_at)
    d.clean = power(d.t, d.clean[0], 0.0, 60, 0.8)
    d.eval_clean = 0.6 * d.clean[0] * (1 + 0.5 * (1 - np.arange(k) / (k - 2)) ** 2)
    d.eval_clean[-2:] = d.eval_clean[-2:].min() * np.array([1.0, 1 + rng.uniform(0.15, 0.5)])
    return d.settle(), ["overfit"], ["overfit_onset", "undertrained"]


def overfit_noisy_evals(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "cosine", low=150, evals=(30, 70), rel=(0.01, 0.05))
    d.clean = power(d.t, d.clean[0], 0.0, 100, 0.7)
    d.eval_clean = 0.6 * d.clean[0] * (1 + 0.6 * np.exp(-d.t[d.eval_at] / 0.1))
    d.eval_clean *= 1 + rng.uniform(0.2, 0.6) * np.maximum(0, d.t[d.eval_at] - 0.35)
    d.eval_rel = rng.uniform(0.008, 0.025)
    return d.settle(), ["overfit"], ["overfit_onset", "undertrained"]


def gap_opens(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "cosine", low=60, evals=(7, 25), rel=(0.006, 0.03))
    d.clean = power(d.t, d.clean[0], 0.0, rng.uniform(20, 80), rng.uniform(0.5, 0.8))
    knee = rng.uniform(0.15, 0.35)
    at = d.t[d.eval_at]
    d.eval_clean = np.interp(np.minimum(at, knee), d.t, d.clean)
    d.eval_rel = min(d.eval_rel, 0.004)
    return d.settle(), ["overfit_onset", "overfit"], ["undertrained"]


def steps_up(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["constant", "cosine"]), low=30, rel=(0.006, 0.05))
    at, rise = rng.uniform(0.25, 0.85), rng.uniform(0.4, 4)
    d.clean = d.clean * (1 + rise * logistic(d.t, at, rng.uniform(0.003, 0.03)))
    return d.settle(), ["divergence"], ["spikes", "spike", "grad_spikes"]


def creeps_up(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "constant", low=40, rel=(0.006, 0.04))
    d.clean = d.clean * (1 + rng.uniform(0.35, 1.2) * np.maximum(0, d.t - rng.uniform(0.3, 0.6)))
    return d.settle(), ["divergence"], ["plateau"]


def blows_up_at_once(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["cosine", "constant"]), low=40, rel=(0.006, 0.05))
    at = rng.uniform(0.04, 0.12)
    level = d.clean[0] * rng.uniform(1.2, 3)
    low = d.clean[0] * (1 - 0.25 * np.minimum(1, d.t / at))
    up = logistic(d.t, at, 0.01)
    d.clean = low * (1 - up) + level * up * (1 - 0.08 * d.t)
    return d.settle(), ["divergence"], ["spikes", "spike", "undertrained", *STUCK, *BARELY]


def spikes_that_linger(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "cosine", low=150, rel=(0.006, 0.04))
    for at in rng.choice(np.arange(0.2, 0.9, 0.08), int(rng.integers(2, 5)), replace=False):
        after = np.maximum(0, d.t - at) * d.n
        bump = (d.t >= at) * (1 + after / rng.uniform(2, 6)) ** -1.5
        d.clean = d.clean * (1 + rng.uniform(0.8, 4) * bump)
    return d.settle(), ["spikes", "spike"], ["grad_spikes", "oscillation", "divergence"]


def swings(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "constant", low=150, rel=(0.006, 0.03))
    period = rng.uniform(8, max(9, min(50, d.n / 14)))
    drift = np.cumsum(1 + 0.15 * rng.standard_normal(d.n)) / period
    wave = 2 * np.abs(2 * np.mod(drift, 1) - 1) - 1  # a triangle
    d.clean = d.clean * (1 + rng.uniform(0.25, 0.5) * wave)
    return d.settle(), ["oscillation"], ["noisy", "spikes", "undertrained"]


def hidden_trend(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["constant", "cosine"]), low=40, high=600, rel=(0.45, 0.7))
    d.clean = d.clean[0] * (1 - rng.uniform(0, 0.1) * d.t)
    return d.settle(), ["noisy"], [*BARELY, *STUCK, "spikes", "spike", "oscillation"]


def stays_at_start(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, rng.choice(["cosine", "constant", None]), low=60, rel=(0.004, 0.04))  # type: ignore[arg-type]
    d.clean = d.clean[0] * (1 - rng.uniform(0, 0.012) * d.t)
    d.follow()
    return d.settle(), [*BARELY, *STUCK], ["noisy", "no_signal"]


def flat_at_full_rate(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "constant", low=60, rel=(0.005, 0.04))
    level = rng.uniform(0.6, 0.85)
    knee = max(0.012, 2.5 / d.n)  # the fall is over early, yet seen
    d.clean = d.clean[0] * (level + (1 - level) / (1 + (d.t / knee) ** 3))
    d.follow()
    return d.settle(), STUCK, [*BARELY, "noisy"]


def flat_epochs(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = epoch_log(rng, 24, 60)
    d.clean = d.clean[0] * (0.75 + 0.25 * np.exp(-np.arange(d.n) / 0.7))
    d.follow()
    return d.settle(), STUCK, [*BARELY, "noisy"]


def crawls(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "constant", low=60, rel=(0.004, 0.02))
    d.clean = d.clean[0] * (1 - rng.uniform(0.08, 0.25) * d.t ** rng.uniform(0.8, 1.05))
    d.follow()
    return d.settle(), [*BARELY, "undertrained"], []


def adapter_lost(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "cosine", low=40, rel=(0.006, 0.03))
    d.grad = np.exp(0.3 * rng.standard_normal(d.n))
    at = int(rng.uniform(0.2, 0.6) * d.n)
    d.grad[at:] = 0.0
    d.clean[at:] = d.clean[at]
    return d.settle(), ["no_signal", "grad_vanishing"], [*STUCK, *BARELY]


def cut_short(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = draft(rng, "cosine", low=50, rel=(0.006, 0.03))
    assert d.lr is not None
    over = rng.uniform(0.35, 0.7)
    d.lr = d.lr.max() * np.clip(1 - d.t / over, 0, 1)
    d.clean = power(np.minimum(d.t, over), d.clean[0], 0.3 * d.clean[0], 100, 0.8)
    return d.settle(), ["lr_schedule"], STUCK


def nan_within(rng: np.random.Generator) -> tuple[Draft, list[str], list[str]]:
    d = (epoch_log(rng) if rng.random() < 0.3 else draft(rng, "cosine")).settle()
    at = int(rng.uniform(0.1, 0.9) * d.n)
    d.loss[at:] = np.nan if rng.random() < 0.7 else np.inf
    d.eval_loss[d.eval_at >= at] = np.nan
    return d, ["nonfinite"], ["divergence"]


FAULTS: dict[str, Kind] = {
    f.__name__: f
    for f in (
        undertrained_power, undertrained_epochs, undertrained_few_evals, overfit_epochs,
        overfit_last_evals, overfit_noisy_evals, gap_opens, steps_up, creeps_up,
        blows_up_at_once, spikes_that_linger, swings, hidden_trend, stays_at_start,
        flat_at_full_rate, flat_epochs, crawls, adapter_lost, cut_short, nan_within,
    )
}  # fmt: skip
