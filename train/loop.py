"""The training loop: epochs, steps of micro-batches, validation, checkpoints, and failures."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from train.advice.decide import Decision
from train.advice.messages import rollback_line, why_stopped
from train.advice.recovery import restore_before
from train.advice.saved_states import SavedState
from train.checkpoint import Progress, Snapshot
from train.checkpoint_files import remove_folder
from train.components import Parts, RunOutcome
from train.data.types import Batch
from train.errors import CheckpointError, StepError
from train.metrics.records import BASELINE_STEP
from train.reporting import Timing, worse_than_base
from train.schedule import lr_at
from train.seeds import seed_step
from train.smaller_steps import SmallerSteps
from train.step import StepResult
from train.stopping import StopRequest


class TrainingLoop:
    """One run; call ``run`` once."""

    def __init__(self, parts: Parts, start: Snapshot | None = None) -> None:
        self._parts = parts
        self._now = replace(start.progress if start else Progress(), data=parts.data)
        self._loader_state = start.loader if start else None
        self._stop = StopRequest(parts.most)
        self._done = self._now.step - 1  # the last step whose validation and checkpoint are over
        self._skipped = self._in_a_row = 0
        self._train_loss = start.train_loss if start else None
        self._val_loss = start.val_loss if start else None
        self._validated: int | None = None
        self._saved: str | None = None
        self._best_only: str | None = None  # a checkpoint that no cadence asked for
        self._advice: Decision | None = None  # what ended the run
        self._went_back = False
        self._scale_rate()
        self._stepping = SmallerSteps(parts.stepper, parts.evaluator, parts.safety, self._log_event)
        self._stepping.begin(self._now.parts)

    def run(self) -> RunOutcome:
        """Train to the end, or to a signal; save a checkpoint in either case."""
        with self._stop:
            if self._now.step == 0 and self._parts.safety.baseline_validation:
                self._validate(BASELINE_STEP)
            self._save_first_state()
            while not self._over():
                self._run_epoch()
            if self._stop() and self._done < self._now.step - 1:
                self._save()
        if worse := worse_than_base(self._now.baseline, self._now.lowest):
            self._log_event("warning", *worse)
        cut_short = (self._stop() or self._advice is not None) and not self._complete()
        return RunOutcome(
            status="stopped" if cut_short else "finished",
            steps=self._now.step,
            train_loss=self._train_loss,
            val_loss=self._val_loss,
            baseline_loss=self._now.baseline,
            lowest_val_loss=self._now.lowest,
            skipped=self._skipped,
            checkpoint=self._saved,
            signal=self._stop.signal.name if self._stop.signal else None,
            advice=self._advice,
            actions=self._now.actions,
        )

    def _complete(self) -> bool:
        plan = self._parts.plan
        # after a rollback the steps take other batches, at last those of a further pass
        over = self._now.epoch >= plan.epochs and not self._now.actions
        return self._now.step >= plan.total or over

    def _over(self) -> bool:
        return self._complete() or self._stop() or self._advice is not None

    def _run_epoch(self) -> None:
        loader, epoch = self._parts.train, self._now.epoch
        loader.set_epoch(epoch)
        if self._loader_state is not None:
            loader.load_state_dict(self._loader_state)
            self._loader_state = None
        batches = iter(loader)
        self._went_back = False
        while not (self._over() or self._went_back) and self._now.epoch == epoch:
            seed_step(self._parts.seed, self._now.step, self._parts.rank)
            began = time.perf_counter()
            self._parts.stepper.clock.start()
            window = list(islice(batches, self._parts.plan.accumulate))
            self._parts.stepper.clock.mark("data")
            if window:
                self._log(self._step(window), time.perf_counter() - began)
                self._stop.agree()
                self._after(epoch)
            else:
                self._end_epoch()

    def _after(self, epoch: int) -> None:
        """Validate and save after a step, if they are due."""
        plan, step = self._parts.plan, self._now.step
        self._now = replace(self._now, step=step + 1)
        if plan.per_epoch is not None and step + 1 >= plan.per_epoch * (epoch + 1):
            self._stop_if_not_finite(step)
            self._end_epoch()
            return
        if plan.validates_after(step):
            self._validate(step)
        if self._follow_advice():
            return
        self._stop_if_not_finite(step)
        if plan.saves_after(step):
            self._save()
        elif self._is_best(step):
            self._save_best()
        self._save_state()

    def _end_epoch(self) -> None:
        """Validate and save at the end of an epoch."""
        name_epoch = self._now.epoch
        if self._done < self._now.step - 1 and self._validated != self._now.step - 1:
            self._validate(self._now.step - 1)
        self._now = replace(self._now, epoch=name_epoch + 1)
        if self._follow_advice(name_epoch):
            return
        if self._done < self._now.step - 1:
            self._save(name_epoch)
        self._save_state()

    def _follow_advice(self, epoch: int | None = None) -> bool:
        """Do what the advisor asks for; ``epoch``: the last step ended one."""
        recovery = self._parts.recovery
        if recovery is None or self._stop():
            return False
        decision = recovery.decision(self._now.step - 1, self._now)
        if decision is None:
            return False
        if decision.kind == "roll_back":
            return self._roll_back(decision, epoch)
        self._advice = decision
        if self._done < self._now.step - 1:
            self._save(epoch)
        best = None
        if decision.kind == "early_stop" and self._parts.checkpoints is not None:
            best = self._parts.checkpoints.lowest()
            self._saved = str(best[0]) if best else self._saved
        self._log_event("stop", why_stopped(decision, self._saved, best), decision.plain())
        return True

    def _roll_back(self, decision: Decision, epoch: int | None) -> bool:
        """Load a state from before the finding, at a lower rate; the data continues where it is."""
        recovery, before = self._parts.recovery, self._now.step
        assert recovery is not None
        state = restore_before(decision.onset, recovery, self._parts.checkpoints)
        if state is None:
            recovery.give_up_on(decision)
            text = f"{decision.code}: no state from before it was kept to go back to"
            self._log_event("warning", text)
            return False
        self._now = replace(
            self._now,
            step=state.step,
            lr_factor=self._now.lr_factor * decision.factor,
            actions=self._now.actions + 1,
            skipped_steps=self._now.skipped_steps + before - state.step,
            back_from=before - 1,
            back_to=state.step,
        )
        self._train_loss, self._val_loss = state.train_loss, state.val_loss
        self._validated = None if state.val_loss is None else state.step - 1
        self._in_a_row, self._went_back, self._best_only = 0, True, None
        self._scale_rate()
        self._loader_state = self._parts.train.state_dict() if epoch is None else None
        self._save(epoch)
        checkpoints = self._parts.checkpoints
        gone = checkpoints.abandon(max(0, state.step - 1)) if checkpoints is not None else []
        self._log_event("rollback", *rollback_line(self._now, decision.text, gone))
        recovery.restart_at(state.step)
        return True

    def _scale_rate(self) -> None:
        """Multiply the schedule by the advisor's factor, also in what is reported."""
        schedule = replace(self._parts.schedule, factor=self._now.lr_factor)
        report = replace(self._parts.report, schedule=schedule)
        self._parts = replace(self._parts, schedule=schedule, report=report)

    def _save_first_state(self) -> None:
        """Save the first state; a resumed run drops the states of steps that it repeats."""
        if self._parts.recovery is not None:
            self._parts.recovery.forget_after(self._now.step)
            self._save_state(sure=self._now.step == 0)

    def _save_state(self, sure: bool = False) -> None:
        """Save the present state for a rollback, if one is due and the run is well."""
        recovery, step = self._parts.recovery, self._now.step
        if recovery is None or not (sure or recovery.keeps_after(step - 1)):
            return
        val_loss = self._val_loss if self._validated == step - 1 else None
        failed = recovery.keep(SavedState(step, self._train_loss, val_loss), sure)
        if failed:
            self._log_event("warning", failed)

    def _is_best(self, step: int) -> bool:
        """Return whether this state would be the result if the advisor ended the run later."""
        acts = self._parts.recovery is not None and self._parts.recovery.states is not None
        return acts and self._validated == step and self._val_loss == self._now.lowest

    def _save_best(self) -> None:
        before = self._best_only
        self._save()
        self._best_only = self._saved
        if before is not None and before != self._saved and Path(before).is_dir():
            remove_folder(Path(before))

    def _step(self, window: list[Batch]) -> StepResult:
        step, rate = self._now.step, lr_at(self._now.step, self._parts.schedule)
        seed = partial(seed_step, self._parts.seed, step, self._parts.rank)
        result = self._stepping.step(step, window, rate, seed)
        self._now = replace(self._now, parts=self._parts.stepper.parts)
        return result

    def _log(self, result: StepResult, seconds: float) -> None:
        timing = Timing(seconds, self._parts.stepper.clock.take())
        self._parts.report.step(self._now.step, self._now.epoch, result, timing)
        self._train_loss = result.loss
        if self._parts.recovery is not None:
            self._parts.recovery.add_step(self._now.step, result)
        if result.applied:
            self._in_a_row = 0
            return
        self._skipped += 1
        self._in_a_row += 1
        text = f"loss {result.loss:g}, gradient norm {result.grad_norm:g}"
        self._log_event("overflow_skip", f"step {self._now.step}: not applied, {text}")

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
        found = self._stepping.evaluate(step, self._parts.validation, self._stop)
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

    def _save(self, epoch: int | None = None) -> None:
        """Save a checkpoint after the step before ``now``; ``epoch``: that step ended one."""
        self._done = step = self._now.step - 1
        if self._parts.checkpoints is None or not self._parts.checkpoints.writes:
            return
        snapshot = Snapshot(
            progress=self._now,
            loader=self._parts.train.state_dict() if epoch is None else None,
            train_loss=self._train_loss,
            val_loss=self._val_loss if self._validated == step else None,
        )
        name = f"epoch_{self._now.epoch if epoch is None else epoch}_step_{max(0, step)}"
        try:
            folder = self._parts.checkpoints.save(name, snapshot)
        except CheckpointError as error:
            if self._over():
                raise
            # a full disk at night: the run goes on, and the next checkpoint may find room
            self._log_event("warning", f"step {step}: {error}")
            return
        self._saved = str(folder)
        self._log_event("checkpoint", f"checkpoint saved: {folder}", {"name": name})

    def _log_event(self, kind: str, text: str, details: Mapping[str, object] | None = None) -> None:
        # a checkpoint belongs to the step before the next one
        step = max(0, self._now.step - (kind == "checkpoint"))
        self._parts.report.event(kind, step, text, details)
