"""The steps of a run, planned before it: how many, and when to validate and save."""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.config.types import StepConfig
from train.errors import TrainConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """``accumulate``: micro-batches a step; ``per_epoch`` None: a stream, whose end is unknown."""

    accumulate: int
    per_epoch: int | None
    epochs: int
    total: int
    val_every: int | None
    ckpt_every: int | None

    def validates_after(self, step: int) -> bool:
        """Return whether the cadence asks for an evaluation after this step."""
        return _due(step, self.val_every) or self.saves_after(step)

    def saves_after(self, step: int) -> bool:
        """Return whether the cadence asks for a checkpoint after this step, or it is the last."""
        return _due(step, self.ckpt_every) or step == self.total - 1


def plan_steps(config: StepConfig, batches_per_epoch: int | None, ranks: int = 1) -> StepPlan:
    """Return the plan, given the number of micro-batches of an epoch and rank."""
    together = config.local_batch_size * ranks
    if config.global_batch_size % together:
        low = max(together, config.global_batch_size // together * together)
        raise TrainConfigError(
            f"step_scheduler.global_batch_size: {config.global_batch_size} is not a multiple of "
            f"local_batch_size x processes = {together}; {low} or {low + together} would do"
        )
    accumulate = config.global_batch_size // together
    if batches_per_epoch is None:
        if config.max_steps is None:
            raise TrainConfigError(
                "step_scheduler.max_steps: a stream has no known end; say after how many steps to "
                "stop"
            )
        per_epoch, total = None, config.max_steps
    else:
        per_epoch = math.ceil(batches_per_epoch / accumulate)
        total = per_epoch * config.num_epochs
        total = total if config.max_steps is None else min(total, config.max_steps)
    return StepPlan(
        accumulate=accumulate,
        per_epoch=per_epoch,
        epochs=config.num_epochs,
        total=total,
        val_every=config.val_every_steps,
        ckpt_every=config.ckpt_every_steps,
    )


def _due(step: int, every: int | None) -> bool:
    return every is not None and every > 0 and step % every == every - 1
