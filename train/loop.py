"""The loop: epochs of windows of micro-batches; train, validate, save; and what can go wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, Protocol

from train.checkpoint import Checkpoints, Progress, Snapshot
from train.config.types import SafetyConfig
from train.data.types import Batch
from train.errors import CheckpointError, StepError
from train.evaluate import Evaluation, Evaluator
from train.metrics.records import BASELINE_STEP
from train.plan import StepPlan
from train.recovery import advice_for, halve, shape_of
from train.reporting import Reporter, Timing
from train.schedule import Schedule, lr_at
from train.seeds import seed_step
from train.step import OutOfMemory, Stepper, StepResult
from train.stopping import StopRequest


class Loader(Protocol):
    """Micro-batches of an epoch; the state says which of them were taken."""

    def set_epoch(self, epoch: int) -> None: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a loop works with. ``data`` is what the order of the batches depends on."""

    plan: StepPlan
    schedule: Schedule
    safety: SafetyConfig
    train: Loader
    stepper: Stepper
    evaluator: Evaluator
    report: Reporter
    validation: Iterable[Batch] | None = None
    checkpoints: Checkpoints | None = None
    seed: int = 42
    rank: int = 0
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. ``signal`` names what stopped it."""

    status: Literal["finished", "stopped"]
    steps: int
    train_loss: float | None
    val_loss: float | None
    baseline_loss: float | None
    lowest_val_loss: float | None
    skipped: int
    checkpoint: str | None
    signal: str | None = None


class Loop:
    """One run. ``run`` goes through it once."""

    def __init__(self, parts: Parts, start: Snapshot | None = None) -> None:
        self._parts = parts
        self._now = replace(start.progress if start else Progress(), data=parts.data)
        self._loader_state = start.loader if start else None
        self._stop = StopRequest()
        self._done = self._now.step - 1  # the last step whose validation and checkpoint are over
        self._skipped = self._in_a_row = 0
        self._train_loss = start.train_loss if start else None
        self._val_loss = start.val_loss if start else None
        self._validated: int | None = None
        self._saved: str | None = None
        parts.stepper.parts = parts.evaluator.parts = self._now.parts

    def run(self) -> Outcome:
        """Train to the end, or to a signal; what was learnt is saved in either case."""
        with self._stop:
            if self._now.step == 0 and self._parts.safety.baseline_validation:
                self._validate(BASELINE_STEP)
            while not self._over():
                self._run_epoch()
            if self._stop() and self._done < self._now.step - 1:
                self._save()
        self._compare_with_baseline()
        return Outcome(
            status="stopped" if self._stop() and not self._complete() else "finished",
            steps=self._now.step,
            train_loss=self._train_loss,
            val_loss=self._val_loss,
            baseline_loss=self._now.baseline,
            lowest_val_loss=self._now.lowest,
            skipped=self._skipped,
            checkpoint=self._saved,
            signal=self._stop.signal.name if self._stop.signal else None,
        )

    def _complete(self) -> bool:
        plan = self._parts.plan
        return self._now.step >= plan.total or self._now.epoch >= plan.epochs

    def _over(self) -> bool:
        return self._complete() or self._stop()

    def _run_epoch(self) -> None:
        loader, epoch = self._parts.train, self._now.epoch
        loader.set_epoch(epoch)
        if self._loader_state is not None:
            loader.load_state_dict(self._loader_state)
            self._loader_state = None
        batches = iter(loader)
        while not self._over() and self._now.epoch == epoch:
            seed_step(self._parts.seed, self._now.step, self._parts.rank)
            began = time.perf_counter()
            self._parts.stepper.clock.start()
            window = list(islice(batches, self._parts.plan.accumulate))
            self._parts.stepper.clock.mark("data")
            if window:
                result = self._stepped(window)
                self._log(result, time.perf_counter() - began)
                self._after(epoch)
            else:
                self._end_epoch()

    def _after(self, epoch: int) -> None:
        """Validate and save as the cadence asks, after the step that was just taken."""
        plan, step = self._parts.plan, self._now.step
        self._now = replace(self._now, step=step + 1)
        self._stop_if_not_finite(step)
        if plan.per_epoch is not None and step + 1 >= plan.per_epoch * (epoch + 1):
            self._end_epoch()
            return
        if plan.validates_after(step):
            self._validate(step)
        if plan.saves_after(step):
            self._save()

    def _end_epoch(self) -> None:
        """Validate and save at an epoch's end, whatever the cadence."""
        name_epoch = self._now.epoch
        if self._done < self._now.step - 1:
            self._validate(self._now.step - 1)
        self._now = replace(self._now, epoch=name_epoch + 1)
        if self._done < self._now.step - 1:
            self._save(name_epoch)

    def _stepped(self, window: list[Batch]) -> StepResult:
        """Take the step; where memory runs out, in smaller pieces if that is allowed."""
        stepper, step = self._parts.stepper, self._now.step
        while True:
            try:
                return stepper.step(window, lr_at(step, self._parts.schedule))
            except OutOfMemory as error:
                pieces = self._smaller(error, f"step {step}", stepper.parts)
            stepper.parts = self._parts.evaluator.parts = pieces
            self._now = replace(self._now, parts=pieces)
            seed_step(self._parts.seed, step, self._parts.rank)

    def _smaller(self, error: OutOfMemory, where: str, parts: int) -> int:
        """Tell that memory ran out; return the pieces to try next, or give up."""
        shape = shape_of(error.batch)
        self._tell("oom", f"{where}: out of memory on {shape.text} ({error})", shape.details)
        pieces = halve(error.batch, parts, self._parts.safety)
        if pieces is None:
            advice = advice_for(error.batch, self._parts.safety)
            raise StepError(f"{where}: out of memory on {shape.text}; {advice}") from None
        text = f"{where}: each micro-batch is now computed in {pieces} pieces"
        self._tell("warning", text, {"parts": pieces})
        return pieces

    def _log(self, result: StepResult, seconds: float) -> None:
        timing = Timing(seconds, self._parts.stepper.clock.take())
        self._parts.report.step(self._now.step, self._now.epoch, result, timing)
        self._train_loss = result.loss
        if result.applied:
            self._in_a_row = 0
            return
        self._skipped += 1
        self._in_a_row += 1
        text = f"loss {result.loss:g}, gradient norm {result.grad_norm:g}"
        self._tell("overflow_skip", f"step {self._now.step}: not applied, {text}")

    def _stop_if_not_finite(self, step: int) -> None:
        limit = self._parts.safety.max_nonfinite_steps
        if not limit or self._in_a_row < limit:
            return
        self._save()
        raise StepError(
            f"step {step}: {limit} steps in a row had no finite loss and gradient, none of them "
            "was applied; lower optimizer.lr, look at the data of these steps, and see what "
            "`advise check` says of the run directory"
        )

    def _validate(self, step: int) -> None:
        if self._parts.validation is None or self._stop():
            return
        found = self._evaluated(step)
        if found is None:
            return
        self._parts.report.validation(step, self._now.epoch, found)
        if step == BASELINE_STEP:
            self._now = replace(self._now, baseline=found.loss)
            return
        self._val_loss, self._validated = found.loss, step
        if math.isfinite(found.loss):
            lowest = min(found.loss, math.inf if self._now.lowest is None else self._now.lowest)
            self._now = replace(self._now, lowest=lowest)

    def _evaluated(self, step: int) -> Evaluation | None:
        evaluator = self._parts.evaluator
        assert self._parts.validation is not None
        while True:
            try:
                return evaluator.evaluate(self._parts.validation, self._stop)
            except OutOfMemory as error:
                where = f"evaluation at step {step}"
                evaluator.parts = self._smaller(error, where, evaluator.parts)

    def _save(self, epoch: int | None = None) -> None:
        """Save after the step before ``now``; ``epoch`` where that step ended an epoch."""
        step = self._now.step - 1
        self._done = step
        if self._parts.checkpoints is None:
            return
        within = self._parts.train.state_dict() if epoch is None else None
        snapshot = Snapshot(
            progress=self._now,
            loader=within,
            train_loss=self._train_loss,
            val_loss=self._val_loss if self._validated == step else None,
        )
        name = f"epoch_{self._now.epoch if epoch is None else epoch}_step_{step}"
        try:
            folder = self._parts.checkpoints.save(name, snapshot)
        except CheckpointError as error:
            if self._over():
                raise
            # a full disk at night: the run goes on, and the next checkpoint may find room
            self._tell("warning", f"step {step}: {error}")
            return
        self._saved = str(folder)
        self._tell("checkpoint", f"checkpoint saved: {folder}", {"name": name})

    def _compare_with_baseline(self) -> None:
        base, lowest = self._now.baseline, self._now.lowest
        if base is not None and lowest is not None and lowest > base:
            self._tell(
                "warning",
                f"the held-out loss never came below the base model's: {lowest:.4f} against "
                f"{base:.4f}; this run made the model worse on it",
                {"baseline": base, "lowest": lowest},
            )

    def _tell(self, kind: str, text: str, details: Mapping[str, object] | None = None) -> None:
        # a checkpoint belongs to the step before the next one
        step = max(0, self._now.step - (kind == "checkpoint"))
        self._parts.report.tell(kind, step, text, details)
