"""What kind of run this is, what happened in it, and how fast it went."""

from __future__ import annotations

import re

import numpy as np

from advisor.base.median import median
from advisor.dialects import habits_of
from advisor.findings import Reading
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.crashes import cause_of_end, has_ended
from advisor.signals.curves import Curve, View
from advisor.signals.run_size import number, positive_fact

KEEPS_UP = 0.1  # share of a step; below it, more loader workers gain nothing
PREFERENCE = ("dpo", "orpo", "kto", "cpo", "simpo", "ipo", "reward")
POLICY = ("rl", "grpo", "ppo", "rloo", "reinforce")
PATIENCE = 2  # evaluations without improvement after which early stopping ends a run
NEARLY = 0.98  # of the planned steps or epochs; the remainder is rounding
PASSES = "step_scheduler.num_epochs"
SPARSE = 0.2  # policy losses stay below it; a likelihood with masked batches does not


def is_preference(view: View) -> Reading:
    """1 where answers are compared: DPO, ORPO, KTO, a reward model. Their loss is not a likelihood,
    and single pairs weigh heavily in it."""
    kind = str(view.run.facts.get("objective", "")).lower()
    if kind in PREFERENCE:
        return Reading(1.0, f"the loss of preference training ({kind}) does not tell this")
    return Reading(0.0)


def is_policy(view: View) -> Reading:
    """1 where a policy is trained on rewards, so that the level of its loss says nothing: a reward
    or KL is logged, or the loss lies around 0."""
    if is_preference(view).value:
        return Reading(0.0)
    gate = Reading(1.0, "the loss of policy training (PPO, GRPO) does not tell this")
    series = view.run.series
    if str(view.run.facts.get("objective", "")).lower() in POLICY:
        return gate
    if any("reward" in name or name.endswith("/kl") for name in series):
        return gate
    curve = view.loss if len(view.loss) else view.eval
    if not len(curve):
        return missing("no train/loss in the log")
    return gate if _hovers(curve) or _is_sparse(curve) else Reading(0.0)


def is_rl(view: View) -> Reading:
    """1 for preference and policy training: the level of their loss cannot be read as a
    likelihood."""
    preference = is_preference(view)
    return preference if preference.value else is_policy(view)


def _hovers(curve: Curve) -> bool:
    """Return whether a loss starts within its noise of 0 and takes both signs. Likelihoods start
    clearly above 0. A few negative values are not enough: some kernels return them for a tiny
    loss."""
    head = curve.y[: max(5, len(curve) // 10)]
    both = min(float((curve.y < 0).mean()), float((curve.y > 0).mean()))
    return both > 0.02 and abs(median(head)) < 3 * curve.noise


def _is_sparse(curve: Curve) -> bool:
    """Return whether small losses alternate with exact zeros, as where few groups have an
    advantage."""
    zero = curve.y == 0
    stretches = int(np.count_nonzero(np.diff(zero.astype(np.int8)) == 1))
    return (
        0.2 < float(zero.mean()) < 0.9 and stretches >= 3 and float(np.abs(curve.y).max()) < SPARSE
    )


def steps(view: View) -> Reading:
    if not len(view.loss):
        return missing("no train/loss in the log")
    return Reading(float(view.loss.steps[-1]))


def done(view: View) -> Reading:
    """Share of the planned steps that were run."""
    planned = positive_fact(view, "max_steps")
    if planned is None or not len(view.loss):
        return missing("the log does not say how many steps were planned")
    return Reading(min(1.0, float(view.loss.steps[-1]) / planned))


def unfinished(view: View) -> Reading:
    """1 where the run broke off, or stopped short of its planned steps or epochs with no sign of a
    normal end: the outcome of its settings is unknown."""
    if cause_of_end(view)[0] or view.run.facts.get("broken_off"):
        return Reading(1.0, "the run was broken off")
    if has_ended(view) or not _is_short(view) or _seems_stopped(view):
        return Reading(0.0)
    return Reading(1.0, "the run is not over")


def _seems_stopped(view: View) -> bool:
    """Return whether the last two evaluations did not improve on the best one and the last row is
    an evaluation. This is the mark of early stopping, which older Trainer states do not record."""
    named = re.search(r"\d{1,15}$", str(view.run.facts.get("best_checkpoint", "")))
    best = positive_fact(view, "best_step") or (float(named[0]) if named else None)
    if best is None or not len(view.eval) or not len(view.loss):
        return False
    later = int((view.eval.steps > best).sum())
    return later >= PATIENCE and float(view.eval.steps[-1]) >= float(view.loss.steps[-1])


def _is_short(view: View) -> bool:
    planned, curve = positive_fact(view, "max_steps"), view.loss
    if planned is not None and len(curve) > 1:
        last = max(int(s.steps[-1]) for s in view.run.series.values() if len(s))
        row = median(np.diff(curve.steps))  # the last row may lie this far before the last step
        return last + 1.5 * row < NEARLY * planned
    passes = positive_fact(view, "num_train_epochs") or number(view, PASSES).value
    if not passes or curve.epochs is None or not len(curve) or not np.isfinite(curve.epochs[-1]):
        return False
    at = curve.epochs
    counted = bool(np.all(at == np.floor(at)))  # whole epochs may count from 0: the last is N - 1
    row = 1.0 if counted else 1.5 * float(at[-1]) / len(curve)
    return float(at[-1]) + row < NEARLY * passes


def epochs(view: View) -> Reading:
    curve = view.loss
    if curve.epochs is not None and curve.epochs.size and np.isfinite(curve.epochs[-1]):
        return Reading(float(curve.epochs[-1]))
    value = view.config.get("step_scheduler.num_epochs")
    if isinstance(value, int | float):
        return Reading(float(value))
    return missing("no epochs in the log or the config")


def has_eval(view: View) -> Reading:
    return Reading(float(any(name.startswith("eval/") for name in view.run.series)))


def is_peft(view: View) -> Reading:
    """1 for an adapter (LoRA, DoRA, QLoRA), 0 for full fine-tuning."""
    method = view.config.get("method")
    if method is None:
        return missing("the method is not known: give --config or --set method=...")
    return Reading(float(method in ("lora", "dora", "qlora")))


def clips(view: View) -> Reading:
    """1 where gradients are clipped: a threshold of 1.0 is every dialect's default."""
    limit = view.config.get("clip_grad_norm.max_norm", 1.0)
    return Reading(float(isinstance(limit, int | float) and 0 < limit < 1e6))


def uses_fp16(view: View) -> Reading:
    """1 where the config asks for float16; an unknown precision stays unknown."""
    words = [view.config.get(k) for k in ("precision.amp", "model.torch_dtype")]
    known = [str(w).lower() for w in words if w is not None]
    if not known:
        return missing("the precision is not known: give --config")
    return Reading(float(any("fp16" in w or w in ("float16", "half") for w in known)))


def not_fp16(view: View) -> Reading:
    """1 where a precision other than float16 is known, else 0. The guide's trainer, without a named
    precision, trains in the precision of the stored model, with no loss scaler."""
    reading = uses_fp16(view)
    if reading.value is None:
        return Reading(float(habits_of(view.run.config.dialect).keeps_stored_precision))
    return Reading(1.0 - reading.value)


def few_epochs(view: View) -> Reading:
    """1 where the run had at most two epochs, so that fewer epochs cannot be the fix."""
    reading = epochs(view)
    return reading if reading.value is None else Reading(float(reading.value <= 2.0))


def slowdown(view: View) -> Reading:
    """Early throughput over late throughput: 2 where the run has become half as fast."""
    curve = view.curve("train/tokens_per_second")
    sign = 1
    if not len(curve):
        curve, sign = view.curve("train/step_time"), -1
    if why := need(curve, 20):
        return missing(why)
    n = len(curve)
    # compare facing quartiles: speeds that overlap are one speed with noise
    early = float(np.quantile(curve.y[n // 20 : n // 3], 0.5 - 0.25 * sign))
    late = float(np.quantile(curve.y[-max(5, n // 5) :], 0.5 + 0.25 * sign))
    if early <= 0 or late <= 0:
        return missing("throughput is 0")
    value = (early / late) ** sign
    return found(value, curve, n - max(5, n // 5), n - 1, f"from {early:.4g} to {late:.4g}")


def data_share(view: View) -> Reading:
    """Share of the step time that is spent waiting for data."""
    data, step = view.curve("train/data_time"), view.curve("train/step_time")
    if why := need(data, 5) or need(step, 5):
        return missing(why)
    share = median(data.y) / max(median(step.y), 1e-12)
    text = f"{share:.0%} of a step is spent waiting for data"
    return found(share, data, 0, len(data) - 1, text)


def loader_keeps_up(view: View) -> Reading:
    """1 where the log shows that steps hardly wait for data, 0 where it shows no such thing."""
    reading = data_share(view)
    return Reading(0.0 if reading.value is None else float(reading.value < KEEPS_UP))


def utilization(view: View) -> Reading:
    """Median GPU utilisation in percent."""
    curve = view.curve("train/gpu_utilization")
    if why := need(curve, 5):
        return missing(why)
    value = median(curve.y)
    return found(value, curve, 0, len(curve) - 1, f"the GPU is busy {value:.0f}% of the time")


def memory_growth(view: View) -> Reading:
    """Peak memory late in the run over early: 1 where it does not grow."""
    curve = view.curve("train/memory_gib")
    if why := need(curve, 20):
        return missing(why)
    n = len(curve)
    early = median(curve.y[n // 10 : n // 3])
    if early <= 0:
        return missing("memory is 0")
    return found(float(curve.y[-max(3, n // 10) :].max()) / early, curve, n // 3, n - 1)


SIGNALS = {
    "run.is_preference": Signal(
        "0 or 1", "answers are compared (DPO, ORPO, KTO, reward model)", is_preference
    ),
    "run.is_policy": Signal("0 or 1", "a policy is trained on rewards", is_policy),
    "run.is_rl": Signal("0 or 1", "reinforcement or preference learning", is_rl),
    "run.steps": Signal("steps", "last logged step", steps),
    "run.done": Signal("share", "share of the planned steps that were run", done),
    "run.unfinished": Signal(
        "0 or 1", "the run broke off, or stopped short of its planned steps", unfinished
    ),
    "run.epochs": Signal("epochs", "passes over the data", epochs),
    "run.has_eval": Signal("0 or 1", "a validation metric was logged", has_eval),
    "run.is_peft": Signal("0 or 1", "an adapter is trained", is_peft),
    "run.clips": Signal("0 or 1", "gradients are clipped", clips),
    "run.uses_fp16": Signal("0 or 1", "float16 is used", uses_fp16),
    "run.not_fp16": Signal("0 or 1", "a precision other than float16 is known", not_fp16),
    "run.few_epochs": Signal("0 or 1", "the run had at most two epochs", few_epochs),
    "perf.slowdown": Signal("ratio", "early throughput over late throughput", slowdown),
    "perf.data_share": Signal("share", "share of the step time spent waiting for data", data_share),
    "perf.loader_keeps_up": Signal(
        "0 or 1", "steps are known to hardly wait for data", loader_keeps_up
    ),
    "perf.utilization": Signal("percent", "median GPU utilisation", utilization),
    "perf.memory_growth": Signal(
        "ratio", "peak memory late in the run over early in it", memory_growth
    ),
}
