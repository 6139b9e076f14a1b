"""Healthy runs, and traps: runs that look sick to a naive rule and are not."""

from __future__ import annotations

import numpy as np

from benchmarks.generated.curves import Sketch, follow, index_at, ramp, sketch
from benchmarks.generated.faults import Maker


def _healthy(s: Sketch, may: list[str] | None = None, amplitude: float = 0.0) -> Sketch:
    return s.finish().label([], may or [], True, amplitude)


def _settled(s: Sketch, floor: float, rate: float) -> None:
    """A steady fall that has come to rest at ``floor`` (a share of the start)."""
    s.clean = s.clean[0] * (floor + (1 - floor) * np.exp(-rate * s.frac))
    follow(s)


def clean_cosine(rng: np.random.Generator, seed: int) -> Sketch:
    return _healthy(sketch(rng, seed, lr="cosine"))


def clean_linear(rng: np.random.Generator, seed: int) -> Sketch:
    return _healthy(sketch(rng, seed, lr="linear"))


def clean_constant(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="constant")
    _settled(s, rng.uniform(0.08, 0.35), rng.uniform(5, 7))
    return _healthy(s)


def clean_wsd(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="wsd")
    _settled(s, rng.uniform(0.3, 0.5), rng.uniform(4, 6))
    s.clean = s.clean * (1 - 0.06 * ramp(s, int(0.8 * s.n), 0.15))
    return _healthy(s, ["undertrained"])


def converged_low(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed)
    _settled(s, rng.uniform(0.01, 0.08), rng.uniform(9, 20))
    return _healthy(s)


def noisy_batch_of_one(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=150, rel=(0.15, 0.3), lr=str(rng.choice(["cosine", "linear"])))
    return _healthy(s, ["noisy"] if s.rel > 0.25 else [], s.rel)


def epoch_staircase(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=bool(seed % 2), low=40, rel=(0.01, 0.05))
    s.epochs = float(rng.integers(2, 5))
    epoch = np.minimum(np.floor(s.frac * s.epochs), s.epochs - 1)
    first = 0.7 + 0.3 * np.exp(-s.frac / 0.05)
    drop = rng.uniform(0.75, 0.92)
    s.clean = s.clean[0] * first * drop**epoch
    s.eval_clean = s.clean[0] * 0.75 * 0.985 ** (s.frac[s.eval_at] * s.epochs)
    return _healthy(s, ["overfit_onset", "undertrained"], drop)


def length_ripple(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=80, rel=(0.01, 0.04), lr="cosine")
    period = max(8.0, s.n / s.epochs / float(rng.integers(4, 12)))
    depth = rng.uniform(0.03, 0.12)
    s.clean = s.clean * (1 + depth * ((np.arange(s.n) % period) / period - 0.5))
    return _healthy(s, ["oscillation", "noisy"], depth)


def data_order_sawtooth(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.01, 0.04), lr="cosine")
    s.epochs = float(rng.integers(3, 8))
    depth = rng.uniform(0.05, 0.2)
    s.clean = s.clean * (1 + depth * (0.5 - np.mod(s.frac * s.epochs, 1)))
    return _healthy(s, ["noisy"], depth)


def lone_grad_outlier(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=30)
    height = rng.uniform(8, 60)
    assert s.grad is not None
    s.grad[index_at(s, 0.1, 0.9)] *= height
    return _healthy(s, ["clipping"], height)


def overflow_skips_at_start(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=30)
    assert s.grad is not None
    s.grad[: int(rng.integers(1, 4))] = np.nan if rng.random() < 0.6 else np.inf
    s.lr[:2] = 0.0
    return _healthy(s, ["nonfinite", "numerics"])


def lr_zero_first(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed)
    s.lr = np.concatenate([[0.0], s.lr[:-1]])
    return _healthy(s)


def grpo(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=False).finish()
    kl = 0.08 * s.frac * rng.uniform(0.2, 1.5)
    s.loss = kl * 0.04 + rng.uniform(0.0005, 0.02) * s.noise
    s.loss[0] = 0.0
    s.extra = {
        "reward": 0.2 + 0.5 * (1 - np.exp(-2 * s.frac)) + 0.08 * rng.standard_normal(s.n),
        "kl": np.abs(kl * (1 + 0.2 * rng.standard_normal(s.n))),
    }
    rl = ["oscillation", "noisy"]
    return s.label([], rl, True, 0.0)


def dpo(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=False, lr="linear", rel=(0.01, 0.06))
    s.clean = 0.6931 * (rng.uniform(0.5, 0.75) + (1 - rng.uniform(0.5, 0.75)) * 0)
    work = 1 - np.exp(-rng.uniform(4, 7) * (1 - (1 - s.frac) ** 2))
    s.clean = 0.6931 + (s.clean - 0.6931) * work
    s.finish()
    s.loss[0] = 0.6931
    s.extra = {"rewards/margins": work * 1.5 + 0.1 * rng.standard_normal(s.n)}
    return s.label([], [], True, 0.0)


def short_twenty(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=20, high=30, rel=(0.01, 0.06), lr="cosine")
    return _healthy(s, ["undertrained"])


def resumed_small_transient(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.01, 0.05), lr="cosine")
    at = index_at(s, 0.4, 0.7)
    tail = np.maximum(np.arange(s.n) - at, 0) / 2.0
    height = 2 * s.rel
    s.clean = s.clean + (np.arange(s.n) >= at) * s.clean[at] * height * np.exp(-tail)
    return _healthy(s, ["resume_jump"], height)


def eval_below_train(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True, lr="cosine")
    follow(s, -rng.uniform(0.02, 0.08))
    return _healthy(s)


def cosine_flattening(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="cosine", low=30)
    level = rng.uniform(0.4, 0.75)  # a fast fall to a fair level, as fine-tuning often shows
    s.clean = s.clean[0] * (level + (1 - level) * np.exp(-s.frac / rng.uniform(0.05, 0.15)))
    s.clean = s.clean * (1 - 0.05 * s.frac)
    follow(s)
    return _healthy(s, ["plateau", "early_plateau", "underfit", "overfit_onset"])


def curriculum_shift(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.02, 0.06), lr="cosine")
    shift = s.rel * rng.uniform(0.5, 1.2)
    s.clean = s.clean * (1 + shift * (np.arange(s.n) > index_at(s, 0.3, 0.6)))
    return _healthy(s, [], shift)


def long_warmup(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=40, lr="cosine")
    warm = np.minimum(1, s.frac / 0.15)
    s.lr = s.lr.max() * np.where(
        s.frac < 0.15, warm, 0.5 * (1 + np.cos(np.pi * (s.frac - 0.15) / 0.85))
    )
    work = np.cumsum(s.lr) / s.lr.sum()
    s.clean = s.clean[0] * (0.45 + 0.55 * np.exp(-6 * work))
    follow(s)
    return _healthy(s)


HEALTHY: dict[str, Maker] = {
    f.__name__: f
    for f in (
        clean_cosine,
        clean_linear,
        clean_constant,
        clean_wsd,
        converged_low,
        noisy_batch_of_one,
        epoch_staircase,
        length_ripple,
        data_order_sawtooth,
        lone_grad_outlier,
        overflow_skips_at_start,
        lr_zero_first,
        grpo,
        dpo,
        short_twenty,
        resumed_small_transient,
        eval_below_train,
        cosine_flattening,
        curriculum_shift,
        long_warmup,
    )
}
