"""Fault kinds of numerics, gradients, schedules, data and hardware; labelled as the others."""

from __future__ import annotations

import itertools

import numpy as np

from benchmarks.generated.curves import Sketch, follow, index_at, ramp, sketch
from benchmarks.generated.faults import BARELY, STUCK, Maker

BROKEN = ["divergence", "spikes", "spike", "grad_spikes", "no_signal", "numerics", "lr_schedule"]


def _nan_from(s: Sketch, at: int, value: float = np.nan) -> Sketch:
    s.loss[at:] = value
    if s.grad is not None:
        s.grad[at:] = np.nan
    s.eval_loss[s.eval_at >= at] = np.nan
    return s


def nan_late(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed).finish()
    at = index_at(s, 0.4, 0.97)
    return _nan_from(s, at).label(["nonfinite"], BROKEN, True, (s.n - at) / s.n)


def nan_early(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed).finish()
    return _nan_from(s, index_at(s, 0.02, 0.15)).label(["nonfinite"], BROKEN, True, 1.0)


def inf_loss(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed).finish()
    at = index_at(s, 0.2, 0.9)
    count = int(rng.choice([1, 3, s.n]))
    s.loss[at : at + count] = np.inf
    return s.label(["nonfinite"], BROKEN, count > 1, count)  # a single one passes: a remark at most


def eval_nan(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True).finish()
    s.eval_loss[int(rng.integers(0, 2)) :] = np.nan
    return s.label(["nonfinite"], ["no_signal", "numerics", "data_format"], True, 1.0)


def zero_loss_nan_grad(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True).finish()
    at = index_at(s, 0.0, 0.7)
    s.eval_loss[s.eval_at >= at] = np.nan
    s.loss[at:] = 0.0
    assert s.grad is not None
    s.grad[at:] = np.nan
    return s.label(["nonfinite"], BROKEN, True, (s.n - at) / s.n)


def all_zero_loss(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed).finish()
    s.loss[:] = 0.0
    s.eval_loss[:] = np.nan if rng.random() < 0.5 else 0.0
    if s.grad is not None:
        s.grad[:] = 0.0
    return s.label(
        ["no_signal", "data_format"], ["nonfinite", "grad_vanishing", *STUCK, *BARELY], True, 1
    )


def constant_loss(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed).finish()
    s.loss[:] = round(float(s.clean[0]), 4)
    s.eval_loss[:] = round(float(s.clean[0]) * 1.02, 4)
    if s.grad is not None and rng.random() < 0.6:
        s.grad[:] = 0.0
    return s.label(["no_signal"], ["grad_vanishing", *STUCK, *BARELY], True, 1)


def frozen_weights(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=30, rel=(0.01, 0.06))
    s.clean = np.full(s.n, s.clean[0])
    follow(s, 0.0)
    s.eval_rel = 0.0
    s.grad = np.zeros(s.n)
    return s.finish().label(["no_signal", "grad_vanishing", *STUCK, *BARELY], ["noisy"], True, 1)


def grad_spikes(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=60)
    height = float(np.exp(rng.uniform(np.log(4), np.log(80))))
    # repeated means a share of the log, not a handful in thousands of points
    count = max(int(rng.integers(4, 9)), int(s.n * rng.uniform(0.005, 0.02)))
    edges = np.linspace(0.15, 0.98, count + 1)
    assert s.grad is not None
    for low, high in itertools.pairwise(edges):
        s.grad[index_at(s, low, high)] = np.median(s.grad) * height * rng.uniform(0.9, 1.3)
    return s.finish().label(["grad_spikes"], ["clipping", "spikes"], height > 15, height)


def grad_vanishing(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=40, lr="constant", rel=(0.004, 0.03))
    level = rng.uniform(0.8, 0.97)
    s.clean = s.clean[0] * (level + (1 - level) * np.exp(-s.frac / 0.04))
    decades = rng.uniform(2, 7)
    assert s.grad is not None
    s.grad = s.grad * 10 ** (-decades * np.minimum(s.frac / 0.3, 1))
    follow(s)
    return s.finish().label(
        ["grad_vanishing", "no_signal", *STUCK], [*BARELY, "noisy"], decades > 3, decades
    )


def grad_explodes_to_nan(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=40)
    at = index_at(s, 0.4, 0.8)
    stop = min(s.n - 2, at + max(4, int(0.08 * s.n)))
    growth = np.clip((np.arange(s.n) - at) / (stop - at), 0, 1)
    assert s.grad is not None
    s.grad = s.grad * 10 ** (rng.uniform(2, 5) * growth)
    s.clean = s.clean * (1 + rng.uniform(0.2, 3) * growth**2)
    return _nan_from(s.finish(), stop).label(["nonfinite"], [*BROKEN, "clipping"], True, 1)


def grad_explodes(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, grad=True, low=40)
    at = index_at(s, 0.5, 0.8)
    growth = ramp(s, at, 0.1)
    rise = rng.uniform(0.3, 2)
    assert s.grad is not None
    s.grad = s.grad * 10 ** (rng.uniform(1.5, 3) * growth)
    s.clean = s.clean + s.clean[at] * rise * growth
    follow(s)
    return s.finish().label(
        ["divergence", "grad_spikes"],
        ["spikes", "spike", "clipping", "overfit"],
        rise > 5 * s.rel,
        rise,
    )


def lr_ends_early(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=40, rel=(0.005, 0.05))
    share = rng.uniform(0.02, 0.7)  # of the run, at learning rate 0
    peak = s.lr.max()
    work = np.clip(1 - s.frac / (1 - share), 0, 1)
    s.lr = peak * work
    progress = np.cumsum(work) / work.sum()
    s.clean = s.clean[0] * (1 - 0.5 * (1 - np.exp(-rng.uniform(1, 3) * progress)))
    follow(s)
    return s.finish().label(["lr_schedule"], [*STUCK, "undertrained"], share > 0.2, share)


def lr_jumps_back(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=40, lr=str(rng.choice(["linear", "cosine"])))
    at = index_at(s, 0.45, 0.75)
    peak = s.lr.max()
    s.lr[at:] = np.interp(np.arange(s.n - at), [0, s.n - at], [peak, peak * rng.uniform(0, 0.6)])
    bump = rng.uniform(0.0, 0.3)
    s.clean = s.clean * (1 + bump * ramp(s, at, 0.02) * (1 - ramp(s, at, 0.3)))
    return s.finish().label(
        ["lr_schedule", "resume_jump"],
        ["spikes", "spike", "divergence", "undertrained"],
        True,
        bump,
    )


def lr_stays_zero(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=30, rel=(0.005, 0.05))
    s.clean = np.full(s.n, s.clean[0])
    s.lr[:] = 0.0
    follow(s, 0.01)
    s.eval_rel = 0.0
    return s.finish().label(["lr_schedule", *BARELY, "no_signal"], [*STUCK, "noisy"], True, 1)


def fp16_overflow_lr_frozen(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=30, grad=True, lr="linear", rel=(0.005, 0.05))
    at = index_at(s, 0.1, 0.3)
    s.lr[at:] = s.lr[at]
    s.clean[at:] = s.clean[at]
    assert s.grad is not None
    s.grad[at:] = np.where(rng.random(s.n - at) < 0.5, np.nan, np.inf)
    follow(s)
    return s.finish().label(
        ["lr_schedule", "nonfinite", "numerics", "no_signal"],
        [*BARELY, *STUCK, "grad_spikes"],
        True,
        1,
    )


def eval_leak(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, evals=True, low=40, rel=(0.01, 0.05))
    s.epochs = float(rng.integers(4, 8))
    epoch = np.minimum(np.floor(s.frac * s.epochs), s.epochs - 1)
    keep = rng.uniform(0.35, 0.8)
    s.clean = s.clean[0] * (0.75 + 0.25 * np.exp(-s.frac / 0.05)) * keep**epoch
    s.eval_clean = s.clean[s.eval_at] * rng.uniform(0.5, 0.95)
    return s.finish().label(
        ["eval_leak"], ["undertrained", "data_format"], s.clean[-1] < 0.15 * s.clean[0], keep
    )


def resume_jump(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=50, rel=(0.005, 0.04))
    at = index_at(s, 0.35, 0.7)
    height = float(np.exp(rng.uniform(np.log(0.1), np.log(1.5))))
    tail = np.maximum(np.arange(s.n) - at, 0) / (s.n * rng.uniform(0.03, 0.08))
    s.clean = s.clean + (np.arange(s.n) >= at) * s.clean[at] * height * np.exp(-tail)
    s.lr[at:] = s.lr[at:] * np.minimum(1, (np.arange(s.n - at) + 1) / max(3, 0.04 * s.n))
    s.console = f"Resuming from checkpoint-{at * s.every}"
    return s.finish().label(
        ["resume_jump", "spikes", "spike", "lr_schedule"],
        ["divergence", "grad_spikes"],
        height > 0.3 and height > 9 * s.rel,
        height,
    )


def out_of_memory(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, high=400, evals=False)
    s.console = (
        "Traceback (most recent call last):\n"
        '  File "finetune.py", line 88, in <module>\n    trainer.train()\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has a total "
        "capacity of 23.69 GiB of which 730.06 MiB is free."
    )
    return s.finish().label(["oom"], ["undertrained", *BARELY], True, 1)


def data_stall(rng: np.random.Generator, seed: int) -> Sketch:
    s = sketch(rng, seed, low=40)
    at = index_at(s, 0.3, 0.5)
    share = rng.uniform(0.1, 0.8)  # of the step spent waiting for data
    compute = rng.uniform(0.3, 2) * (1 + 0.03 * rng.standard_normal(s.n))
    wait = np.where(np.arange(s.n) < at, 0.02, share / (1 - share)) * compute
    s.extra = {
        "step_time": compute + wait,
        "data_time": wait,
        "tokens_per_second": 4096 / (compute + wait),
    }
    return s.finish().label(["data_stall", "low_utilization"], [], share > 0.4, share)


NUMERIC: dict[str, Maker] = {
    f.__name__: f
    for f in (
        nan_late,
        nan_early,
        inf_loss,
        eval_nan,
        zero_loss_nan_grad,
        all_zero_loss,
        constant_loss,
        frozen_weights,
        grad_spikes,
        grad_vanishing,
        grad_explodes_to_nan,
        grad_explodes,
        lr_ends_early,
        lr_jumps_back,
        lr_stays_zero,
        fp16_overflow_lr_frozen,
        eval_leak,
        resume_jump,
        out_of_memory,
        data_stall,
    )
}
