"""A Monitor that says what a test wants, around runs of the loop's stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from advisor.findings import Edit, Finding, Plan
from advisor.monitor import Change
from tests.train.loop.standins import Kept, Setup, loss_sum, make_batch
from train.advice.recovery import Recovery
from train.advice.saved_states import SavedStates
from train.advice.sink import AdvisorSink
from train.checkpoint import Checkpoints, Snapshot
from train.components import Parts, RunOutcome
from train.config.types import StepConfig
from train.loop import TrainingLoop


def finding(code: str = "LR007", symptom: str = "divergence", **fields: Any) -> Finding:
    return Finding(code, "loss-diverges", symptom, "error", 0.9, "it climbs", **fields)


def change(step: int, action: str = "act", kind: str = "raised", **fields: Any) -> Change:
    return Change(kind, finding(**fields), step, action)  # type: ignore[arg-type]


@dataclass
class Scripted:
    """Says at a step what the script has for it; keeps what it was shown."""

    script: Mapping[int, Sequence[Change]] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    rows: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    def observe(self, step: int, **metrics: float) -> tuple[Change, ...]:
        self.rows.append((step, metrics))
        return tuple(self.script.get(step, ())) if "train/loss" in metrics else ()

    def event(self, kind: str, text: str = "", step: int | None = None) -> tuple[Change, ...]:
        self.kinds.append(kind)
        return ()

    def fact(self, name: str, value: object) -> None:
        self.facts[name] = value

    def report(self) -> Any:
        return _Report(Plan(edits=self.edits))

    def close(self) -> tuple[Change, ...]:
        return ()


@dataclass
class _Report:
    plan: Plan


class Broken(Scripted):
    """A Monitor with a fault."""

    def observe(self, step: int, **metrics: float) -> tuple[Change, ...]:
        raise ZeroDivisionError("a fault")


@dataclass
class World:
    """A run with an adviser: 12 batches in windows of 2, two epochs, 12 steps."""

    directory: Path
    monitors: Sequence[Callable[[], Scripted]]
    every: int = 1
    most: int = 3
    setup: Setup | None = None
    made: list[Scripted] = field(default_factory=list)

    def build(self) -> tuple[Parts, Kept]:
        steps = StepConfig(
            global_batch_size=2, local_batch_size=1, num_epochs=2, ckpt_every_steps=4,
            val_every_steps=2,
        )  # fmt: skip
        setup = self.setup or Setup(steps=steps, validation=[make_batch([6, 7], 100)])
        parts, kept = replace(setup, directory=self.directory).build()
        sink = AdvisorSink(kept, self._next)
        named = list(parts.stepper.model.named_parameters())
        states = SavedStates(self.directory / ".good", named, parts.stepper.optimizer)
        recovery = Recovery(sink, states, self.every, self.most)
        report = replace(parts.report, sink=sink)
        return replace(parts, report=report, recovery=recovery), kept

    def _next(self) -> Scripted:
        self.made.append(self.monitors[min(len(self.made), len(self.monitors) - 1)]())
        return self.made[-1]

    def run(
        self, start: Callable[[Checkpoints], Snapshot] | None = None
    ) -> tuple[RunOutcome, Kept]:
        parts, kept = self.build()
        assert parts.checkpoints is not None
        return TrainingLoop(parts, start(parts.checkpoints) if start else None).run(), kept


__all__ = ["Broken", "Kept", "Scripted", "World", "change", "finding", "loss_sum"]
