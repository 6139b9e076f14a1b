"""Fault kinds of loss, learning rate and generalisation.

Each function alters a healthy sketch and labels it. A fault is ``must`` only where a fixed rule
says that a careful reader can see it: its height in units of the noise that was generated, and
the relative floors of the labelling guide. None of this looks at our own detectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from benchmarks.generated.curves import Sketch, fall, follow, index_at, ramp, sketch

Maker = Callable[[np.random.Generator, int], Sketch]
STUCK = ["plateau", "early_plateau", "underfit"]
BARELY = ["lr_too_low", "slow"]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def lr_too_low(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.01, 0.05))
    gained = rng.uniform(0.0, 0.03)
    s.clean = s.clean[0] * (1 - gained * s.frac)
    s.lr = s.lr / s.lr.max() * 10 ** rng.uniform(-9, -7.3)
    follow(s)
    return s.finish().label(
        BARELY, [*STUCK, "no_signal", "noisy", "undertrained"], gained < s.rel + 0.015, gained
    )


def slow(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="constant", low=40, rel=(0.005, 0.04))
    gained = rng.uniform(0.03, 0.3)
    s.clean = s.clean[0] * (1 - gained * s.frac)
    follow(s)
    visible = gained > 0.06 and gained > 3 * s.rel
    may = ["noisy", *([] if visible else STUCK)]
    return s.finish().label([*BARELY, "undertrained"], may, visible, gained)


def divergence_late(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=30)
    rise = _log_uniform(rng, 0.03, 3.0)
    at = index_at(s, 0.5, 0.8)
    s.clean = s.clean + s.clean[at] * rise * ramp(s, at, rng.uniform(0.03, 0.12))
    if s.grad is not None:
        s.grad[at:] *= 1 + rise
    follow(s)
    return s.finish().label(
        ["divergence"],
        ["spikes", "spike", "grad_spikes", "overfit", "plateau"],
        rise > 0.15 and rise > 4 * s.rel,
        rise,
    )


def blowup_then_flat(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=30, rel=(0.005, 0.04))
    at = index_at(s, 0.06, 0.2)
    best = s.clean[0] * rng.uniform(0.5, 0.8)
    rise = _log_uniform(rng, 0.1, 2.0)
    s.clean = np.linspace(s.clean[0], best, s.n) if at < 1 else s.clean
    s.clean[: at + 1] = np.linspace(s.clean[0], best, at + 1)
    s.clean[at + 1 :] = best * (1 + rise * ramp(s, at, 0.02)[at + 1 :])
    follow(s)
    return s.finish().label(
        ["divergence"],
        [*STUCK, *BARELY, "spikes", "spike", "grad_spikes"],
        rise > 0.2 and rise > 5 * s.rel,
        rise,
    )


def diverge_partial_recovery(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=40, rel=(0.005, 0.05))
    rise = _log_uniform(rng, 0.1, 3.0)
    at = index_at(s, 0.3, 0.6)
    kept = rng.uniform(0.4, 0.8)
    after = np.clip((np.arange(s.n) - at) / (s.n - at), 0, 1)
    s.clean = s.clean + s.clean[at] * rise * ramp(s, at, 0.02) * (1 - (1 - kept) * after)
    follow(s)
    return s.finish().label(
        ["divergence", "spikes", "spike"],
        ["grad_spikes", "undertrained", "overfit"],
        rise * kept > 0.15 and rise * kept > 5 * s.rel,
        rise,
    )


def _add_spike(s: Sketch, at: int, height: float, width: float) -> None:
    tail = np.arange(s.n) - at
    bump = np.where(tail >= 0, np.exp(-np.maximum(tail, 0) / max(width, 1e-6)), 0.0)
    s.clean = s.clean + s.clean[at] * height * bump
    if s.grad is not None:
        s.grad[at : at + 2] *= 1 + 3 * height


def spikes_repeated(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.005, 0.05))
    height = _log_uniform(rng, 0.1, 3.0)
    count = int(rng.integers(3, 8))
    edges = np.linspace(0.2, 0.92, count + 1)
    for low, high in itertools.pairwise(edges):
        _add_spike(s, index_at(s, low, high), height * rng.uniform(0.8, 1.2), rng.uniform(0.3, 1.5))
    return s.finish().label(
        ["spikes", "spike"],
        ["grad_spikes", "oscillation", "noisy", "divergence"],
        height > 0.3 and height > 9 * s.rel,
        height,
    )


def spike_slow_recovery(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.005, 0.05))
    height = _log_uniform(rng, 0.1, 3.0)
    _add_spike(s, index_at(s, 0.3, 0.6), height, s.n * rng.uniform(0.02, 0.07))
    follow(s)
    return s.finish().label(
        ["spikes", "spike"],
        ["grad_spikes", "divergence", "oscillation"],
        height > 0.3 and height > 9 * s.rel,
        height,
    )


def spike_fast_recovery(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=60, rel=(0.005, 0.04))
    height = _log_uniform(rng, 0.3, 8.0)
    _add_spike(s, index_at(s, 0.25, 0.85), height, 0.3)
    return s.finish().label(
        ["spike", "spikes"], ["grad_spikes"], height > 2 and height > 25 * s.rel, height
    )


def oscillation(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=80, rel=(0.005, 0.05))
    swing = _log_uniform(rng, 0.02, 0.6)
    period = rng.uniform(6, max(8.0, min(60.0, s.n / 10)))
    phase = np.cumsum(np.clip(1 + 0.25 * rng.standard_normal(s.n), 0.3, 2)) * 2 * np.pi / period
    depth = np.clip(
        1 + 0.2 * np.interp(np.arange(s.n), np.linspace(0, s.n, 12), rng.standard_normal(12)),
        0.5,
        1.5,
    )
    onset = ramp(s, index_at(s, 0.03, 0.2), 0.05)
    s.clean = s.clean * (1 + swing * depth * onset * np.sin(phase))
    return s.finish().label(
        ["oscillation"],
        ["noisy", "spikes", "spike", "undertrained", "divergence"],
        swing > 0.12 and swing > 3 * s.rel,
        swing,
    )


def noisy(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=50, rel=(0.1, 0.6))
    gained = rng.uniform(0.03, 0.15)
    s.clean = s.clean[0] * (1 - gained * np.sqrt(s.frac))
    follow(s)
    return s.finish().label(
        ["noisy"],
        [*BARELY, *STUCK, "oscillation", "spikes", "spike", "undertrained"],
        s.rel > 0.25 and s.rel > 1.5 * gained,
        s.rel,
    )


def plateau_early(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="constant", low=50, rel=(0.004, 0.04))
    level = rng.uniform(0.5, 0.95)
    s.clean = s.clean[0] * (level + (1 - level) * np.exp(-s.frac / rng.uniform(0.01, 0.04)))
    follow(s)
    return s.finish().label(
        STUCK, [*BARELY, "noisy"], 0.6 < level < 0.92 and 1 - level > 3 * s.rel, level
    )


def underfit(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="constant", evals=True, low=50, rel=(0.004, 0.03))
    classes = int(rng.choice([2, 4, 10]))
    chance = float(np.log(classes))
    over = rng.uniform(0.0, 0.1)
    s.clean = chance * (1 - rng.uniform(0, 0.03) * s.frac + over * np.exp(-s.frac / 0.02))
    follow(s, 0.005)
    return s.finish().label([*STUCK, *BARELY, "no_signal"], ["noisy", "undertrained"], True, over)


def _overfit_eval(s: Sketch, rise: float, low: float, high: float) -> int:
    """Validation falls to a minimum, then climbs by ``rise``; evaluations after it."""
    turn = s.rng.uniform(low, high)
    frac = s.frac[s.eval_at]
    bottom = s.clean[0] * s.rng.uniform(0.5, 0.75)
    before = bottom + (s.clean[0] - bottom) * (1 - np.minimum(frac / turn, 1)) ** 2
    after = bottom * rise * np.clip((frac - turn) / (1 - turn), 0, 1) ** s.rng.uniform(0.8, 1.3)
    s.eval_clean = before + after
    return int((frac > turn).sum())


def overfit(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True, rel=(0.008, 0.08))
    s.epochs = float(rng.integers(3, 11))
    s.clean = fall(rng, s.frac, s.clean[0], s.clean[0] * rng.uniform(0.02, 0.15))
    rise = _log_uniform(rng, 0.01, 0.6)
    after = _overfit_eval(s, rise, 0.2, 0.6)
    floor = 0.04 if after > 3 else 0.12
    return s.finish().label(
        ["overfit"], ["overfit_onset", "undertrained"], rise > floor and rise > 4 * s.eval_rel, rise
    )


def overfit_onset(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True, rel=(0.005, 0.04))
    at = rng.uniform(0.25, 0.45)
    level = s.clean[0] * rng.uniform(0.45, 0.7)
    keeps = rng.uniform(0.1, 0.95)
    first = np.minimum(s.frac / at, 1)
    s.clean = s.clean[0] + (level - s.clean[0]) * (1 - (1 - first) ** 2)
    s.clean = s.clean * (1 - (1 - keeps) * np.clip((s.frac - at) / (1 - at), 0, 1))
    s.eval_clean = np.maximum(s.clean[s.eval_at], level) * 1.03
    return s.finish().label(
        ["overfit_onset", "overfit"],
        ["undertrained", "eval_leak"],
        keeps < 0.7 and len(s.eval_at) >= 6,
        keeps,
    )


def _still_falling(s: Sketch) -> float:
    """The share of its level that the clean loss loses over the last quarter."""
    tail = s.clean[int(0.75 * s.n)]
    return float((tail - s.clean[-1]) / tail)


def undertrained(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, lr="constant", low=30, rel=(0.005, 0.04))
    end = rng.uniform(0.02, 0.25)  # share lost over the last quarter, roughly
    power = rng.uniform(0.7, 1.6)
    s.clean = s.clean[0] * (1 - min(0.75, 3.2 * end) * s.frac**power)
    follow(s)
    drop = _still_falling(s)
    return s.finish().label(["undertrained"], BARELY, drop > 0.06 and drop > 2.5 * s.rel, drop)


def staircase_overfit(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True, low=60, rel=(0.01, 0.06))
    s.epochs = float(rng.integers(3, 6))
    epoch = np.minimum(np.floor(s.frac * s.epochs), s.epochs - 1)
    s.clean = s.clean[0] * 0.8 * rng.uniform(0.35, 0.6) ** epoch
    rise = _log_uniform(rng, 0.05, 0.5)
    after = _overfit_eval(s, rise, 1 / s.epochs * 0.8, 1.3 / s.epochs)
    return s.finish().label(
        ["overfit"],
        ["overfit_onset"],
        rise > (0.06 if after > 3 else 0.12) and rise > 4 * s.eval_rel,
        rise,
    )


FAULTS: dict[str, Maker] = {
    f.__name__: f
    for f in (
        lr_too_low,
        slow,
        divergence_late,
        blowup_then_flat,
        diverge_partial_recovery,
        spikes_repeated,
        spike_slow_recovery,
        spike_fast_recovery,
        oscillation,
        noisy,
        plateau_early,
        underfit,
        overfit,
        overfit_onset,
        undertrained,
        staircase_overfit,
    )
}
