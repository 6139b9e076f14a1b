"""A small model, loader and sink of the loop's interfaces, for tests of the loop alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from train.checkpoint import Checkpoints
from train.clock import HostClock
from train.components import Parts, RunOutcome
from train.config.types import OptimizerConfig, SafetyConfig, ScheduleConfig, StepConfig
from train.data.types import IGNORE, Batch
from train.evaluate import Evaluator
from train.loop import TrainingLoop
from train.metrics.records import EventRecord, Record, StepRecord, ValidationRecord
from train.optim import build_optimizer
from train.plan import plan_steps
from train.reporting import Reporter
from train.schedule import plan_schedule
from train.step import Stepper

CPU = torch.device("cpu")
VOCABULARY = 11


class Bigram(nn.Module):
    """Predicts the next token from this one; dropout makes the random numbers matter."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.embed(ids)))


def loss_sum(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    logits = model(batch.input_ids)[0].float()
    total = nn.functional.cross_entropy(
        logits, batch.labels[0], ignore_index=IGNORE, reduction="sum"
    )
    return total, batch.supervised


def make_batch(lengths: list[int], seed: int = 0, rows: int | None = None) -> Batch:
    """Documents of the given lengths end to end; the first token of each is not supervised."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (1, sum(lengths)), generator=generator)
    labels = torch.full_like(ids, IGNORE)
    start = 0
    for length in lengths:
        labels[0, start + 1 : start + length - 1] = ids[0, start + 2 : start + length]
        start += length
    return Batch(
        input_ids=ids,
        labels=labels,
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        cu_seqlens=torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32),
        rows=len(lengths) if rows is None else rows,
        samples=len(lengths),
        supervised=int((labels != IGNORE).sum()),
        longest=max(lengths),
    )


class ListLoader:
    """Micro-batches from a list, in an order that depends on the epoch."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.batches_per_epoch: int | None = len(batches)
        self.epoch = self.taken = self._skip = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.taken = epoch, 0

    def __iter__(self) -> Iterator[Batch]:
        order = list(range(len(self.batches)))
        random.Random(self.epoch).shuffle(order)
        self.taken, self._skip = self._skip, 0
        for index in order[self.taken :]:
            self.taken += 1
            yield self.batches[index]

    def state_dict(self) -> Mapping[str, Any]:
        return {"epoch": self.epoch, "taken": self.taken}

    def load_state_dict(self, state: Any) -> None:
        self._skip = state["taken"]


@dataclass
class Kept:
    """A sink that keeps what is written."""

    records: list[Record] = field(default_factory=list)

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self, status: str) -> None: ...

    @property
    def steps(self) -> list[StepRecord]:
        return [r for r in self.records if isinstance(r, StepRecord)]

    @property
    def validations(self) -> list[ValidationRecord]:
        return [r for r in self.records if isinstance(r, ValidationRecord)]

    def events(self, kind: str) -> list[EventRecord]:
        return [r for r in self.records if isinstance(r, EventRecord) and r.kind == kind]


@dataclass
class StateWeights:
    """Weights as one file of tensors."""

    model: nn.Module

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir()
        save_file(self.model.state_dict(), folder / "model.safetensors")

    def load(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.model.load_state_dict(load_file(folder / "model.safetensors"))

    def size(self) -> int:
        return sum(4 * p.numel() for p in self.model.parameters())


@dataclass
class Setup:
    """A run of the stand-ins; fields are changed before ``build``."""

    steps: StepConfig
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(lr=0.05, options={"weight_decay": 0.01})
    )
    schedule: ScheduleConfig | None = None
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    batches: list[Batch] = field(
        default_factory=lambda: [make_batch([5, 9, 4], seed) for seed in range(12)]
    )
    validation: list[Batch] | None = None
    directory: Path | None = None
    keep_last: int | None = None
    dropout: float = 0.2
    loss_sum: Any = loss_sum
    max_norm: float | None = 1.0

    def build(self) -> tuple[Parts, Kept]:
        torch.manual_seed(7)
        model = Bigram(self.dropout)
        sink = Kept()
        loader = ListLoader(self.batches)
        plan = plan_steps(self.steps, loader.batches_per_epoch)
        schedule = plan_schedule(self.schedule, self.optimizer.lr, plan.total)
        optimizer = build_optimizer(self.optimizer, model.parameters())
        checkpoints = None
        if self.directory is not None:
            checkpoints = Checkpoints(
                directory=self.directory,
                weights=StateWeights(model),
                optimizer=optimizer,
                save_config=lambda path: path.write_text("seed: 42\n"),
                keep_last=self.keep_last,
            )  # fmt: skip
        stepper = Stepper(
            model, list(model.parameters()), optimizer, self.loss_sum, self.max_norm, CPU,
            HostClock(),
        )  # fmt: skip
        parts = Parts(
            plan=plan, schedule=schedule, safety=self.safety, train=loader, stepper=stepper,
            evaluator=Evaluator(model, self.loss_sum, CPU),
            report=Reporter(sink=sink, schedule=schedule, device=CPU),
            validation=self.validation, checkpoints=checkpoints,
        )  # fmt: skip
        return parts, sink

    def run(self, resume: str | None = None) -> tuple[RunOutcome, Kept]:
        parts, sink = self.build()
        start = None
        if resume:
            assert parts.checkpoints is not None
            start = parts.checkpoints.load(parts.checkpoints.find(resume))
        return TrainingLoop(parts, start).run(), sink


def with_steps(setup: Setup, **changes: Any) -> Setup:
    return replace(setup, steps=replace(setup.steps, **changes))


def losses_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "losses.json").read_text())
    return found
