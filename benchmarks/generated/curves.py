"""Parts of a synthetic run; its noise is drawn from ../shared/logs where that is."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.places import SHARED_LOGS

Floats = NDArray[np.float64]
LENGTHS = (20, 5000)  # log points


@dataclass(slots=True)
class Sketch:
    """A run in the making. ``loss = clean * (1 + rel * noise)``; a fault alters any part."""

    rng: np.random.Generator
    n: int
    every: int
    epochs: float
    clean: Floats
    noise: Floats  # unit scale
    rel: float  # noise, relative to the level
    lr: Floats
    grad: Floats | None
    eval_at: NDArray[np.int64]  # indices of log points
    eval_clean: Floats
    eval_rel: float
    loss: Floats = field(default_factory=lambda: np.zeros(0))
    eval_loss: Floats = field(default_factory=lambda: np.zeros(0))
    must: list[str] = field(default_factory=list)
    may: list[str] = field(default_factory=list)
    amplitude: float = 0.0
    at: list[int] = field(default_factory=list)  # log points where something begins
    console: str | None = None  # text appended to a console log
    extra: dict[str, Floats] = field(default_factory=dict)  # further columns, as JSON lines

    @property
    def frac(self) -> Floats:
        return np.linspace(0.0, 1.0, self.n)

    def finish(self) -> Sketch:
        """Draw the logged losses from the clean curves."""
        wobble = np.maximum(1 + self.rel * self.noise, 0.1)
        self.loss = self.clean * wobble
        k = len(self.eval_at)
        self.eval_loss = self.eval_clean * (1 + self.eval_rel * self.rng.standard_normal(k))
        return self

    def label(self, must: list[str], may: list[str], visible: bool, amplitude: float) -> Sketch:
        """``must`` only where the fault can be seen; otherwise its names are only allowed."""
        self.must = list(must) if visible else []
        self.may = [*may, *([] if visible else must)]
        self.amplitude = float(amplitude)
        return self


def _real_logs() -> list[Path]:
    """Healthy labelled logs: their residuals are ordinary noise by definition."""
    labels = SHARED_LOGS / "labels.jsonl"
    if not labels.is_file():
        return []
    rows = [json.loads(line) for line in labels.read_text().splitlines() if line.strip()]
    quiet = [r for r in rows if r["must"] in ([], [["undertrained"]]) and "unscored" not in r]
    plain = [r for r in quiet if "rl" not in r.get("note", "").split()]
    return [SHARED_LOGS / r["file"] for r in plain if r["file"].endswith("trainer_state.json")]


@functools.cache
def residual_pools() -> tuple[Floats, ...]:
    """Standardised residuals of real logs about their running median, one array a log."""
    pools = []
    for path in _real_logs():
        history = json.loads(path.read_text()).get("log_history", [])
        loss = np.array([float(r["loss"]) for r in history if "loss" in r])
        if len(loss) < 60 or not np.isfinite(loss).all() or loss.min() <= 0:
            continue
        width = 11
        padded = np.pad(loss, width // 2, mode="edge")
        centre = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
        residual = (loss / centre - 1)[5:-5]
        scale = 1.4826 * np.median(np.abs(residual - np.median(residual)))
        # not below the standard deviation by much: half of some residuals are outliers
        scale = max(scale, float(np.std(residual)) / 1.3)
        if scale < 1e-5:
            continue
        unit = (residual - np.median(residual)) / scale
        # residuals full of jumps are no ordinary noise: a reader would call them spikes
        if np.mean(np.abs(unit) > 4) <= 0.01:
            pools.append(np.clip(unit, -4, 4))
    return tuple(pools)


def bootstrap(rng: np.random.Generator, n: int, half: int) -> Floats | None:
    """Resample residuals of one real log in blocks; the two halves never share a log."""
    pools = residual_pools()[half::2]
    if not pools:
        return None
    pool = pools[rng.integers(len(pools))]
    block = int(rng.integers(4, 16))
    starts = rng.integers(0, len(pool) - block, size=n // block + 1)
    return np.concatenate([pool[s : s + block] for s in starts])[:n]


def made_noise(rng: np.random.Generator, n: int) -> Floats:
    """Gaussian, heavy-tailed or autocorrelated noise of unit scale."""
    which = rng.integers(3)
    if which == 0:
        return rng.standard_normal(n)
    if which == 1:
        return np.clip(rng.standard_t(4, n) / 1.2, -5, 5)
    rho = rng.uniform(0.2, 0.7)
    white = rng.standard_normal(n) * np.sqrt(1 - rho**2)
    out = np.empty(n)
    last = rng.standard_normal()
    for i in range(n):
        last = rho * last + white[i]
        out[i] = last
    return out


def schedule(name: str, n: int, warmup: float) -> Floats:
    """Learning rate relative to its peak at each log point."""
    t = np.arange(1, n + 1) / n
    warm = np.minimum(1.0, t / warmup) if warmup > 0 else np.ones(n)
    u = np.clip((t - warmup) / (1 - warmup), 0, 1)
    shapes = {
        "cosine": 0.5 * (1 + np.cos(np.pi * u)),
        "linear": 1 - u,
        "constant": np.ones(n),
        "wsd": np.clip((1 - t) / 0.2, 0, 1),
    }
    return np.maximum(warm * shapes[name], 0.0)


def fall(rng: np.random.Generator, work: Floats, start: float, floor: float) -> Floats:
    """Loss after ``work`` (learning-rate time from 0 to 1): power law or exponential."""
    if rng.random() < 0.5:
        shape = np.exp(-rng.uniform(4, 9) * work)
    else:
        power = rng.uniform(0.6, 1.0)
        # in a short log the fall is seen, not over before the first point
        reach = min(10 ** rng.uniform(1.3, 2.3), len(work) / 2)
        shape = (1 + reach * work) ** -power
    return floor + (start - floor) * shape


FAMILIES = {  # start, floor as a share of the start
    "sft": ((1.2, 3.0), (0.3, 0.6)),
    "classification": ((0.68, 1.1), (0.08, 0.35)),
    "pretrain": ((9.0, 11.0), (0.28, 0.45)),
    "task": ((1.5, 4.0), (0.1, 0.4)),
}


def evaluations(rng: np.random.Generator, n: int, wanted: bool | None) -> NDArray[np.int64]:
    """Where validation ran: nowhere in a third of the runs, else 4 to 20 times."""
    if wanted is False or (wanted is None and rng.random() < 0.35):
        return np.zeros(0, dtype=np.int64)
    count = int(min(rng.integers(5, 21), n // 3))
    return np.unique(np.linspace(n / count - 1, n - 1, count).astype(np.int64))


def length(rng: np.random.Generator, seed: int, low: int, high: int) -> int:
    """Lengths in ten strata, so that ten seeds cover the whole range."""
    edges = np.geomspace(low, high, 11)
    return int(rng.uniform(edges[seed % 10], edges[seed % 10 + 1]))


def sketch(
    rng: np.random.Generator,
    seed: int,
    *,
    lr: str | None = None,
    grad: bool | None = None,
    evals: bool | None = None,
    low: int = LENGTHS[0],
    high: int = LENGTHS[1],
    rel: tuple[float, float] = (0.008, 0.08),
) -> Sketch:
    """A healthy run, before any fault."""
    n = length(rng, seed, low, high)
    start_range, floor_range = FAMILIES[str(rng.choice(list(FAMILIES)))]
    start = rng.uniform(*start_range)
    shape = lr or str(rng.choice(["cosine", "linear", "wsd", "constant"]))
    warmup = float(rng.choice([0.0, 0.03, 0.06, 0.1]))
    relative_lr = schedule(shape, n, warmup)
    work = np.cumsum(relative_lr)
    work = (work - work[0]) / max(float(work[-1] - work[0]), 1e-9)
    clean = fall(rng, work, start, start * rng.uniform(*floor_range))
    half = 0 if seed < 1000 else 1
    noise = bootstrap(rng, n, half) if seed % 2 else None
    noise = made_noise(rng, n) if noise is None else noise
    relative = float(np.exp(rng.uniform(*np.log(rel))))
    at = evaluations(rng, n, evals)
    peak = float(10 ** rng.uniform(-5, -3.3))
    norms = None
    if grad or (grad is None and rng.random() < 0.75):
        drift = np.linspace(0, np.log(rng.uniform(0.4, 1.5)), n)
        norms = rng.uniform(0.3, 3) * np.exp(
            drift + rng.uniform(0.08, 0.3) * rng.standard_normal(n)
        )
    gap = clean[-1] * rng.uniform(0.01, 0.12)
    return Sketch(
        rng=rng,
        n=n,
        every=int(rng.choice([1, 5, 10, 50])),
        epochs=float(rng.integers(1, 6)),
        clean=clean,
        noise=noise,
        rel=relative,
        lr=peak * relative_lr,
        grad=norms,
        eval_at=at,
        eval_clean=clean[at] + gap,
        eval_rel=relative / rng.uniform(5, 12),
    )


def index_at(s: Sketch, low: float, high: float) -> int:
    """A log point between two shares of the run."""
    index = int(np.clip(s.rng.uniform(low, high) * s.n, 2, s.n - 2))
    s.at.append(index)
    return index


def follow(s: Sketch, gap: float = 0.03) -> None:
    """Validation follows the (altered) clean training curve."""
    s.eval_clean = s.clean[s.eval_at] * (1 + gap)


def ramp(s: Sketch, at: int, share: float) -> Floats:
    """0 before ``at``, then rising to 1 over ``share`` of the run."""
    width = max(2.0, share * s.n)
    return np.clip((np.arange(s.n) - at) / width, 0, 1)
