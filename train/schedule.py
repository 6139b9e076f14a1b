"""The learning rate as a pure function of the completed steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.config.types import DecayStyle, ScheduleConfig
from train.errors import TrainConfigError

_MOST_WARMUP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule with every open field filled in; ``factor`` scales all of it."""

    style: DecayStyle
    max_lr: float
    init_lr: float
    min_lr: float
    warmup: int
    decay: int
    wsd_decay: int
    wsd_style: str
    factor: float = 1.0


def plan_schedule(config: ScheduleConfig | None, lr: float, steps: int) -> Schedule:
    """Return the schedule of a run, with what the config leaves open filled in.

    Without an ``lr_scheduler`` section the rate is constant from the first step on.
    """
    if config is None:
        return Schedule(
            style="constant", max_lr=lr, init_lr=lr, min_lr=lr, warmup=0, decay=steps,
            wsd_decay=1, wsd_style="linear",
        )  # fmt: skip
    stated = config.lr_decay_steps
    decay = steps if stated is None else stated
    warmup = config.lr_warmup_steps
    if warmup is None:
        warmup = min(_MOST_WARMUP, decay // 10)
    if stated is not None and warmup > stated:
        raise TrainConfigError(
            f"lr_scheduler.lr_warmup_steps: {warmup} is more than lr_decay_steps, {stated}; "
            f"lower it to {max(1, stated // 10)} or so"
        )
    wsd = config.wsd_decay_steps
    return Schedule(
        style=config.lr_decay_style,
        max_lr=lr if config.max_lr is None else config.max_lr,
        init_lr=0.1 * lr if config.init_lr is None else config.init_lr,
        min_lr=0.01 * lr if config.min_lr is None else config.min_lr,
        warmup=warmup,
        decay=decay,
        wsd_decay=max(1, decay // 10) if wsd is None else wsd,
        wsd_style=config.lr_wsd_decay_style,
    )


def lr_at(done: int, plan: Schedule) -> float:
    """Return the learning rate after ``step`` completed steps."""
    return plan.factor * _planned(done, plan)


def _planned(done: int, plan: Schedule) -> float:
    if plan.warmup and done <= plan.warmup:
        return plan.init_lr + (plan.max_lr - plan.init_lr) * done / plan.warmup
    if plan.style == "constant":
        return plan.max_lr
    if plan.style == "inverse-square-root":
        return max(plan.min_lr, plan.max_lr * math.sqrt(max(plan.warmup, 1) / max(done, 1)))
    if done >= plan.decay:
        return plan.min_lr
    share = (done - plan.warmup) / (plan.decay - plan.warmup)
    if plan.style == "WSD":
        left = _left(plan.wsd_style, (done - (plan.decay - plan.wsd_decay)) / plan.wsd_decay)
    else:
        left = _left(plan.style, share)
    return plan.min_lr + left * (plan.max_lr - plan.min_lr)


def _left(style: str, share: float) -> float:
    """Return the remaining share of the way from the peak down to the floor."""
    if share <= 0:
        return 1.0
    if style == "linear":
        return 1.0 - share
    if style == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * share))
    if style == "exponential":
        return float(2.0 * 0.5**share - 1.0)
    if style == "minus_sqrt":
        return 1.0 - math.sqrt(share)
    raise TrainConfigError(
        f"lr_scheduler: decay style '{style}' is not known; "
        "take linear, cosine, exponential or minus_sqrt"
    )
