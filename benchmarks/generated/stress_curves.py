"""Parts of the second set of synthetic runs: other forms than the generator's on purpose.

Power laws and logistic steps for exponentials, multiplicative heavy-tailed and autocorrelated
noise, logs of one row an epoch, and losses of any scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Draft:
    """A run in the making: clean curves, and how they are logged."""

    rng: np.random.Generator
    n: int
    clean: Floats
    rel: float  # noise of a point, relative to the level
    lr: Floats | None
    eval_at: NDArray[np.int64]
    eval_clean: Floats
    eval_rel: float
    every: int = 1
    epochs: float = 1.0
    grad: Floats | None = None
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    eval_loss: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def t(self) -> Floats:
        return np.arange(1, self.n + 1) / self.n

    def follow(self, gap: float = 0.04) -> None:
        self.eval_clean = self.clean[self.eval_at] * (1 + gap)

    def settle(self) -> Draft:
        """Draw the logged values: noise, then a scale that says nothing about the run."""
        noise = noise_of(self.rng, self.n, self.rel)
        scale = 10 ** self.rng.uniform(-2.3, 2.5)
        self.loss = self.clean * noise * scale
        k = len(self.eval_at)
        self.eval_loss = self.eval_clean * scale * noise_of(self.rng, k, self.eval_rel)
        return self


def noise_of(rng: np.random.Generator, n: int, rel: float) -> Floats:
    """Multiplicative noise about 1: log-normal, with Student's tails, AR(1), or gamma."""
    kind = rng.integers(4)
    if kind == 0:
        return np.exp(rel * rng.standard_normal(n))
    if kind == 1:
        return np.exp(rel * np.clip(rng.standard_t(3, n) / 1.4, -3.5, 3.5))
    if kind == 2:
        rho = rng.uniform(0.3, 0.8)
        out = rng.standard_normal(n)
        for i in range(1, n):
            out[i] = rho * out[i - 1] + np.sqrt(1 - rho**2) * out[i]
        return np.exp(rel * out)
    shape = 1 / rel**2
    return rng.gamma(shape, 1 / shape, n)


def power(t: Floats, start: float, floor: float, reach: float, a: float) -> Floats:
    """A power law from ``start`` towards ``floor``; ``reach`` is the run in units of its knee."""
    return floor + (start - floor) * (1 + reach * t) ** -a


def logistic(t: Floats, at: float, width: float) -> Floats:
    """A smooth step from 0 to 1."""
    return 1 / (1 + np.exp(-np.clip((t - at) / width, -60, 60)))


def rate(rng: np.random.Generator, t: Floats, shape: str) -> Floats:
    """A learning rate: constant, cosine, polynomial, inverse root, or restarts."""
    warm = np.minimum(1, t / rng.choice([1e-9, 0.02, 0.08]))
    if shape == "cosine":
        lr = 0.5 * (1 + np.cos(np.pi * t))
    elif shape == "polynomial":
        lr = (1 - t) ** rng.uniform(0.8, 2)
    elif shape == "inverse":
        lr = 1 / np.sqrt(np.maximum(1, 20 * t))
    elif shape == "restarts":
        lr = 0.02 + 0.49 * (1 + np.cos(np.pi * np.mod(t * rng.integers(3, 6), 1)))
    else:
        lr = np.ones_like(t)
    return 10 ** rng.uniform(-5.5, -3) * warm * lr


def draft(
    rng: np.random.Generator,
    lr: str | None,
    *,
    low: int = 24,
    high: int = 2500,
    rel: tuple[float, float] = (0.006, 0.06),
    evals: tuple[int, int] = (0, 0),
) -> Draft:
    """An ordinary log of steps; ``lr`` None leaves the rate out of it."""
    n = int(np.exp(rng.uniform(np.log(low), np.log(high))))
    t = np.arange(1, n + 1) / n
    start = rng.uniform(0.8, 9)
    clean = power(t, start, start * rng.uniform(0.2, 0.5), 10 ** rng.uniform(1.5, 2.5), 0.8)
    count = min(int(rng.integers(evals[0], evals[1] + 1)), n // 2) if evals[1] else 0
    at = np.linspace(n / count - 1, n - 1, count).astype(np.int64) if count else np.zeros(0, int)
    noise = float(np.exp(rng.uniform(*np.log(rel))))
    d = Draft(
        rng, n, clean, noise, None if lr is None else rate(rng, t, lr), at, clean[at] * 1.04,
        noise / rng.uniform(3, 8), every=int(rng.choice([1, 10, 25, 100, 500])),
        epochs=float(rng.integers(1, 4)),
    )  # fmt: skip
    if rng.random() < 0.6:
        d.grad = np.exp(rng.uniform(-2, 1.5) + rng.uniform(0.1, 0.5) * rng.standard_normal(n))
    return d


def epoch_log(rng: np.random.Generator, low: int = 10, high: int = 30) -> Draft:
    """One row an epoch, as Keras, Lightning or YOLO write it: no rate, no gradient norm."""
    d = draft(rng, None, low=low, high=high, rel=(0.004, 0.02), evals=(low, high))
    d.eval_at = np.arange(d.n)
    d.eval_clean = d.clean * 1.05
    d.eval_rel = d.rel * rng.uniform(0.8, 1.5)
    d.every, d.epochs, d.grad = 1, float(d.n), None
    return d
