"""Turns the results of steps and evaluations into records and writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from train.device import memory_peak
from train.evaluate import Evaluation
from train.metrics.records import BASELINE_STEP, EventRecord, StepRecord, ValidationRecord
from train.metrics.sinks import Sink
from train.ranks.lag import Timings
from train.schedule import Schedule, lr_at
from train.step import StepResult


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of a whole step, and of its phases."""

    seconds: float
    phases: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Writes records. ``flops_per_token`` over ``peak`` gives mfu, where the peak is known."""

    sink: Sink
    schedule: Schedule
    device: torch.device
    ranks: int = 1
    timings: Timings | None = None  # exchanges with the other ranks how long each works
    flops_per_token: float = 0.0
    peak: float | None = None

    def step(self, step: int, epoch: int, result: StepResult, timing: Timing) -> None:
        """Write the row of a step."""
        speed = result.tokens / timing.seconds / self.ranks
        self.sink.write(
            StepRecord(
                step=step,
                epoch=epoch,
                timestamp=time.time(),
                loss=result.loss,
                grad_norm=result.grad_norm,
                lr=lr_at(step + 1, self.schedule),
                mem=memory_peak(self.device),
                tps=speed * self.ranks,
                tps_per_gpu=speed,
                mfu=speed * self.flops_per_token / self.peak if self.peak else None,
                num_tokens_per_step=result.tokens,
                num_label_tokens=result.supervised,
                clipped=result.clipped,
                skipped=not result.applied,
                rows=result.rows,
                samples=result.samples,
                time_step=timing.seconds,
                time_data=timing.phases["data"],
                time_forward=timing.phases["forward"],
                time_backward=timing.phases["backward"],
                time_optimizer=timing.phases["optimizer"],
            )
        )
        if self.timings is not None:
            own = sum(timing.phases[name] for name in ("data", "forward", "backward"))
            for lag in self.timings.add(step, own):
                self.event("lag", step, lag.text, {"rank": lag.rank, "over": lag.over})

    def validation(self, step: int, epoch: int, found: Evaluation) -> None:
        """Write the row of an evaluation."""
        self.sink.write(
            ValidationRecord(
                step=step,
                epoch=epoch,
                timestamp=time.time(),
                val_loss=found.loss,
                lr=lr_at(step + 1, self.schedule),
                num_label_tokens=found.tokens,
                mem=memory_peak(self.device),
                baseline=step == BASELINE_STEP,
            )
        )

    def event(
        self, kind: str, step: int | None, text: str, details: Mapping[str, object] | None = None
    ) -> None:
        """Write what happened."""
        self.sink.write(
            EventRecord(
                kind=kind, text=text, timestamp=time.time(), step=step, details=details or {}
            )
        )


def worse_than_base(
    base: float | None, lowest: float | None
) -> tuple[str, dict[str, object]] | None:
    """Return the notice for a run that never came below the base model's loss."""
    if base is None or lowest is None or lowest <= base:
        return None
    text = (
        f"the held-out loss never came below the base model's: {lowest:.4f} against "
        f"{base:.4f}; this run made the model worse on it"
    )
    return text, {"baseline": base, "lowest": lowest}
