"""The components of a training loop, and the outcome of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from train.advice.decide import Decision
from train.advice.recovery import Recovery
from train.checkpoint import Checkpoints
from train.config.types import SafetyConfig
from train.data.types import Batch
from train.evaluate import Evaluator
from train.plan import StepPlan
from train.reporting import Reporter
from train.schedule import Schedule
from train.step import Stepper


class BatchSource(Protocol):
    """The micro-batches of an epoch; the state says which were taken."""

    def set_epoch(self, epoch: int) -> None: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The components of a loop. ``data`` is what the order of the batches depends on."""

    plan: StepPlan
    schedule: Schedule
    safety: SafetyConfig
    train: BatchSource
    stepper: Stepper
    evaluator: Evaluator
    report: Reporter
    validation: Iterable[Batch] | None = None
    checkpoints: Checkpoints | None = None
    recovery: Recovery | None = None
    seed: int = 42
    rank: int = 0
    most: Callable[[int], int] | None = None  # the highest of all ranks' numbers
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended. ``signal`` names the signal that stopped it, ``advice`` the advisor's
    decision."""

    status: Literal["finished", "stopped"]
    steps: int
    train_loss: float | None
    val_loss: float | None
    baseline_loss: float | None
    lowest_val_loss: float | None
    skipped: int
    checkpoint: str | None
    signal: str | None = None
    advice: Decision | None = None
    actions: int = 0
