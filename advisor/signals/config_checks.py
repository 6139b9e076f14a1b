"""Signals on the config of a run: values against recommended ranges, and their arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from advisor.base.numbers import finite
from advisor.config.ranges import warmup_range
from advisor.dialects import habits_of
from advisor.findings import Reading
from advisor.signals import choices
from advisor.signals import run_size as facts
from advisor.signals.base import Signal, missing
from advisor.signals.curves import View
from advisor.signals.rates import lr, no_range, range_of
from advisor.signals.run_size import number, positive, text, unknown

FAR = 1000.0  # stands for a ratio to 0
_SHORT = {
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "epochs": "step_scheduler.num_epochs",
    "global_batch": "step_scheduler.global_batch_size",
    "local_batch": "step_scheduler.local_batch_size",
    "max_norm": "clip_grad_norm.max_norm",
    "rank": "peft.dim",
    "dropout": "peft.dropout",
}
_ALLOWED = {
    "decay_style": "lr_scheduler.lr_decay_style",
    "optimizer": "optimizer._target_",
    "quant_type": "quantization.bnb_4bit_quant_type",
    "compute_dtype": "quantization.bnb_4bit_compute_dtype",
    "double_quant": "quantization.bnb_4bit_use_double_quant",
}


def _value(short: str, view: View) -> Reading:
    if short == "lr":
        return lr(view)
    if short == "epochs":
        return facts.epochs(view)
    if short == "global_batch":
        return facts.global_batch(view)
    return number(view, _SHORT[short])


def _ratio(above: float, below: float) -> float:
    if below <= 0:
        return 0.0 if above <= 0 else FAR
    return min(above / below, FAR)


def _against_range(short: str, is_over: bool) -> Callable[[View], Reading]:
    key = _SHORT[short]

    def function(view: View) -> Reading:
        bounds = range_of(key, view)
        if bounds is None or bounds.low is None or bounds.high is None:
            return no_range(key, view)
        reading = _value(short, view)
        if reading.value is None:
            return reading
        value = reading.value
        ratio = _ratio(value, bounds.high) if is_over else _ratio(bounds.low, value)
        return Reading(ratio, "", None, None, reading.evidence)

    return function


def _bound(short: str, is_high: bool) -> Callable[[View], Reading]:
    key = _SHORT[short]

    def function(view: View) -> Reading:
        bounds = range_of(key, view)
        value = None if bounds is None else bounds.high if is_high else bounds.low
        return no_range(key, view) if value is None else Reading(value)

    return function


def _is_allowed(short: str) -> Callable[[View], Reading]:
    key = _ALLOWED[short]

    def function(view: View) -> Reading:
        if not text(view, "method"):
            return unknown("method")
        bounds = range_of(key, view)
        if bounds is None or not bounds.allowed:
            return missing(f"no recommended value of {key} for {text(view, 'method')}")
        value = view.config.get(key)
        if value is None:
            return unknown(key)
        if short == "optimizer":  # paged, 8-bit and fused variants are the same optimiser
            return Reading(float("adamw" in str(value).lower()))
        return Reading(float(str(value).lower() in {str(v).lower() for v in bounds.allowed}))

    return function


def is_peft(view: View) -> Reading:
    method = text(view, "method")
    return Reading(float(method in ("lora", "dora", "qlora"))) if method else unknown("method")


def is_full(view: View) -> Reading:
    method = text(view, "method")
    return Reading(float(method == "full")) if method else unknown("method")


def is_qlora(view: View) -> Reading:
    method = text(view, "method")
    return Reading(float(method == "qlora")) if method else unknown("method")


def is_dora(view: View) -> Reading:
    method = text(view, "method")
    if not method:
        return unknown("method")
    return Reading(float(method == "dora" or view.config.get("peft.use_dora") is True))


def capped(view: View) -> Reading:
    """1 where max_steps ends the run, so that its number of epochs has no effect."""
    cap = number(view, "step_scheduler.max_steps").value
    return Reading(float(cap is not None and cap > 0))


def max_norm(view: View) -> Reading:
    """Threshold of gradient clipping; 0 where clipping is off. Unset means 1.0 in the trainers that
    we know."""
    value = finite(view.config.get("clip_grad_norm.max_norm"))
    if value is not None:
        return Reading(max(0.0, value))
    habits = habits_of(view.run.config.dialect or view.run.format)
    return Reading(1.0) if habits.clips else unknown("clip_grad_norm.max_norm")


def clips(view: View) -> Reading:
    reading = max_norm(view)
    return reading if reading.value is None else Reading(float(reading.value > 0))


def alpha_ratio(view: View) -> Reading:
    """Alpha over the rank: the adapter's scale."""
    if view.config.get("peft.use_rslora") is True:
        return missing("rank-stabilised scaling divides alpha by the rank's root")
    alpha, rank = number(view, "peft.alpha"), positive(view, "peft.dim")
    if alpha.value is None or rank.value is None:
        return alpha if alpha.value is None else rank
    return Reading(alpha.value / rank.value)


def alpha_wanted(view: View) -> Reading:
    """Twice the rank, which lies within all of the guide's tables."""
    rank = number(view, "peft.dim")
    return rank if rank.value is None else Reading(2 * rank.value)


def min_lr_ratio(view: View) -> Reading:
    """Floor of the schedule over its peak."""
    floor, peak = number(view, "lr_scheduler.min_lr"), lr(view)
    if floor.value is None or peak.value is None:
        return floor if floor.value is None else peak
    if peak.value <= 0:
        return missing("the learning rate is 0")
    return Reading(floor.value / peak.value)


def min_lr_wanted(view: View) -> Reading:
    """A tenth of the peak: low enough to decay, high enough to keep learning."""
    reading = lr(view)
    return reading if reading.value is None else Reading(0.1 * reading.value)


def warmup_share(view: View) -> Reading:
    """Configured warm-up over the length of the run."""
    steps, total = facts.warmup_steps(view), facts.total_steps(view)
    if steps.value is None or total.value is None:
        return steps if steps.value is None else total
    if total.value <= 0:
        return Reading(None, "the log is at step 0: its length is unknown")
    return Reading(steps.value / total.value)


def _warmup(is_over: bool) -> Callable[[View], Reading]:
    def function(view: View) -> Reading:
        steps, total = facts.warmup_steps(view), facts.total_steps(view)
        if steps.value is None or total.value is None:
            return steps if steps.value is None else total
        low, high = warmup_range(total.value)
        value = steps.value
        return Reading(_ratio(value, high) if is_over else _ratio(low, value))

    return function


def warmup_wanted(view: View) -> Reading:
    """A tenth of the run, at most 1000 steps: the default of the guide's trainer."""
    total = facts.total_steps(view)
    if total.value is None:
        return total
    return Reading(float(min(1000, max(1, round(0.1 * total.value)))))


def _batch_parts(view: View) -> tuple[Reading, float]:
    """Return the global batch, and the samples of one pass over all devices; 0 where unknown."""
    whole = positive(view, "step_scheduler.global_batch_size")
    local = positive(view, "step_scheduler.local_batch_size")
    if whole.value is None or local.value is None:
        return (whole if whole.value is None else local), 0.0
    return whole, local.value * (positive(view, "data.parallel").value or 1.0)


def batch_remainder(view: View) -> Reading:
    """Samples of the global batch beyond whole local batches on all devices; 0 is right."""
    whole, part = _batch_parts(view)
    if whole.value is None or not part:
        return missing(whole.why)
    return Reading(whole.value % part)


def batch_nearest(view: View) -> Reading:
    """Nearest global batch that is a whole number of local batches on all devices."""
    whole, part = _batch_parts(view)
    if whole.value is None or not part:
        return missing(whole.why)
    return Reading(max(1.0, (whole.value / part + 0.5) // 1) * part)


SIGNALS: dict[str, Signal] = {
    **choices.SIGNALS,
    "setup.lr": Signal("rate", "peak learning rate of the config, else of the log", lr),
    "setup.samples": Signal("samples", "training samples used", facts.samples),
    "setup.epochs": Signal("epochs", "planned epochs", facts.epochs),
    "setup.total_steps": Signal("steps", "planned optimiser steps", facts.total_steps),
    "setup.global_batch": Signal("samples", "samples per optimiser step", facts.global_batch),
    "setup.is_peft": Signal("0 or 1", "an adapter is trained", is_peft),
    "setup.is_full": Signal("0 or 1", "all weights are trained", is_full),
    "setup.is_qlora": Signal("0 or 1", "an adapter is trained on a quantised model", is_qlora),
    "setup.is_dora": Signal("0 or 1", "the adapter is a DoRA adapter", is_dora),
    "setup.capped": Signal("0 or 1", "max_steps ends the run, not its epochs", capped),
    "setup.max_norm": Signal("norm", "gradient clipping threshold, 0 if off", max_norm),
    "setup.clips": Signal("0 or 1", "gradient clipping is on", clips),
    "setup.alpha_ratio": Signal("ratio", "alpha over rank", alpha_ratio),
    "setup.alpha_wanted": Signal("value", "recommended alpha, twice the rank", alpha_wanted),
    "setup.min_lr_ratio": Signal("share", "floor of the schedule over its peak", min_lr_ratio),
    "setup.min_lr_wanted": Signal(
        "rate", "recommended floor of the schedule, a tenth of the peak", min_lr_wanted
    ),
    "setup.warmup_steps": Signal("steps", "configured warm-up steps", facts.warmup_steps),
    "setup.warmup_share": Signal("share", "warm-up as a share of the run", warmup_share),
    "setup.warmup_over_range": Signal(
        "ratio", "warm-up over the upper bound of its range", _warmup(True)
    ),
    "setup.warmup_under_range": Signal(
        "ratio", "lower bound of the range over the warm-up", _warmup(False)
    ),
    "setup.warmup_wanted": Signal(
        "steps", "recommended warm-up, a tenth of the run and at most 1000", warmup_wanted
    ),
    "setup.batch_remainder": Signal(
        "samples", "samples of the global batch beyond whole local batches", batch_remainder
    ),
    "setup.batch_nearest": Signal(
        "samples", "nearest global batch of whole local batches", batch_nearest
    ),
    **{
        f"setup.{short}_over_range": Signal(
            "ratio", f"{key} over the upper bound of its range", _against_range(short, True)
        )
        for short, key in _SHORT.items()
    },
    **{
        f"setup.{short}_under_range": Signal(
            "ratio", f"lower bound of the range over {key}", _against_range(short, False)
        )
        for short, key in _SHORT.items()
    },
    **{
        f"setup.{short}_high": Signal("value", f"upper bound of {key}", _bound(short, True))
        for short, key in _SHORT.items()
    },
    **{
        f"setup.{short}_low": Signal("value", f"lower bound of {key}", _bound(short, False))
        for short, key in _SHORT.items()
    },
    **{
        f"setup.{short}_allowed": Signal(
            "0 or 1", f"{key} is among the recommended values", _is_allowed(short)
        )
        for short, key in _ALLOWED.items()
    },
}
