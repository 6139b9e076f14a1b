"""From a run's folder to a Trial: read its log, diagnose it, and count its tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.base.numbers import is_number, number
from advisor.config.attach import attach_config
from advisor.errors import AdvisorError
from advisor.findings import Edit, Report
from advisor.pipeline import Request, judge_run
from advisor.readers.console.events import OUT_OF_MEMORY
from advisor.readers.discover import read_all
from advisor.rulebook.rule import Rulebook
from advisor.run import Event, Run, Series
from advisor.signals.robust import successive_noise
from advisor.tuning import keeper
from advisor.tuning.launch import Exit
from advisor.tuning.trial import BriefFinding, Kind, Status, Trial, TrialChange

OUTPUT = "run"  # the trainer's output folder, inside the run's folder
ADVISED = 3  # our trainer's exit status when its advisor stopped the run
ENOUGH = 4  # evaluations, for an estimate of their noise
_TAIL = 20_000  # bytes at the end of console output that are searched for the cause of death
_LAST = re.compile(r"\S")


@dataclass(frozen=True, slots=True)
class Judged:
    """A run that was read and diagnosed."""

    trial: Trial
    report: Report | None  # None where there was no log
    said: str = ""  # why it failed or was stopped


@dataclass(frozen=True, slots=True)
class TrialReader:
    """Reads and diagnoses the runs of a session."""

    rulebook: Rulebook
    request: Request

    def read(self, folder: Path, config: Path) -> Run | None:
        """Return the run of a folder with its config, None where nothing is logged yet.

        Reads the trainer's output folder, else the console; the longest run where there are
        several. AdvisorError where the log cannot be read.
        """
        for place in (folder / OUTPUT, folder / keeper.CONSOLE):
            if not place.exists():
                continue
            runs = [run for run in read_all(place, self.request.options).runs if run.series]
            if runs:
                run = max(runs, key=lambda each: sum(map(len, each.series.values())))
                return attach_config(run, folder / OUTPUT, self.request.facts, config)
        return None

    def judge(self, run: Run) -> Report:
        """Return the Report of a run, with its plan."""
        return judge_run(run, self.rulebook, self.request)


def trial_of(number: int, kind: Kind, values: Mapping[str, object], report: Report) -> Trial:
    """Return the Trial of a run, finished or still running, with status 'finished'."""
    run = report.run
    steps, losses = _points(run.series.get("eval/loss"))
    train_steps, train_losses = _points(run.series.get("train/loss"))
    finite = losses[np.isfinite(losses) & (steps >= 0)]
    noise = successive_noise(finite[len(finite) // 3 :]) if finite.size >= ENOUGH else 0.0
    return Trial(
        number=number,
        values=values,
        kind=kind,
        status="finished",
        val_steps=steps,
        val_losses=losses,
        loss_steps=train_steps,
        losses=train_losses,
        best_val=float(finite.min()) if finite.size else None,
        noise=noise or None,
        tokens=count_tokens(run),
        findings=tuple(BriefFinding(f.code, f.symptom, f.severity) for f in report.findings),
        edits=tuple(_to_change(e) for e in report.plan.edits if _is_usable(e)),
    )


def _points(series: Series | None) -> tuple[np.ndarray, np.ndarray]:
    if series is None:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    return series.steps, series.values


def _is_usable(edit: Edit) -> bool:
    return edit.resolved and edit.applies != "advice"


def _to_change(edit: Edit) -> TrialChange:
    return TrialChange(edit.key, edit.op, edit.old, edit.new, edit.because)


def count_tokens(run: Run) -> int:
    """Return how many tokens a run read, 0 where unknown.

    The sum of the logged tokens per step, else the logged total, else an estimate from the
    config: steps times batch size times sequence length.
    """
    each = run.series.get("train/num_tokens_per_step")
    if each is not None:
        return int(np.nansum(each.values))
    for name in ("train/num_input_tokens_seen", "train/num_tokens", "train/tokens_seen"):
        seen = run.series.get(name)
        if seen is not None and np.isfinite(seen.values).any():
            return int(np.nanmax(seen.values))
    loss = run.series.get("train/loss")
    values = run.config.values
    batch, length = (
        values.get(key) for key in ("step_scheduler.global_batch_size", "dataset.seq_length")
    )
    if loss is None or not len(loss) or not is_number(batch) or not is_number(length):
        return 0
    return int(loss.steps[-1] * number(batch) * number(length))


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, before its log is judged."""

    folder: Path
    config: Path
    exit: Exit
    condemned: str = ""  # the symptom for which we stopped it early, '' for none
    until: int | None = None  # last step of a probe that we stopped from outside


def judge_ended(reader: TrialReader, over: Ended, trial: Trial) -> Judged:
    """Return the result of a run that has ended; ``trial`` gives its number, kind and values."""
    folder, config, ended, until = over.folder, over.config, over.exit, over.until
    tail = read_console_tail(folder)
    try:
        run = reader.read(folder, config)
        logged = run is not None
        run = run or _run_without_log(folder, config, tail)
        tokens = count_tokens(run)
        run = run if until is None else cut_at(run, until)
        report = reader.judge(run)
    except AdvisorError as error:
        return Judged(replace(trial, status="crashed"), None, str(error))
    found = trial_of(trial.number, trial.kind, trial.values, report)
    found = replace(found, reason=trial.reason, tokens=tokens)
    status = _judge_status(found, report, ended, tail, over.condemned)
    quiet = status == "finished" or (status == "nonfinite" and not ended.status)
    said = ended.stopped or ("" if quiet else find_last_line(tail))
    if ended.status == ADVISED and found.loss_steps.size:
        said = f"ended early by its own advisor: {_find_worst(found)}"
    if status == "finished" and not logged:
        status, said = "crashed", "left no log that can be read, in its folder or on its console"
    return Judged(replace(found, status=status), report, said)


def cut_at(run: Run, last: int) -> Run:
    """Return the run up to step ``last``.

    We notice the last step of a probe late: the steps after it depend on timing, so they go.
    """
    series = {}
    for name, each in run.series.items():
        keep = each.steps <= last
        epochs, times = (None if x is None else x[keep] for x in (each.epochs, each.times))
        series[name] = replace(
            each, steps=each.steps[keep], values=each.values[keep], epochs=epochs, times=times
        )
    return replace(run, series={name: each for name, each in series.items() if len(each)})


def _run_without_log(folder: Path, config: Path, tail: str) -> Run:
    """Return a Run without series for a run that ended before its first row.

    Its only event is the last line of its output.
    """
    kind = "oom" if OUT_OF_MEMORY.search(tail) else "exception"
    run = Run(str(folder), "console", {}, events=(Event(kind, find_last_line(tail), final=True),))
    return attach_config(run, folder / OUTPUT, None, config)


def _judge_status(trial: Trial, report: Report, ended: Exit, tail: str, condemned: str) -> Status:
    if condemned == "nonfinite" or _ends_nonfinite(trial):
        return "nonfinite"
    if ended.stopped:
        return "aborted"
    events = report.run.events
    if ended.status == ADVISED and trial.loss_steps.size:
        return "nonfinite" if _find_worst(trial) == "nonfinite" else "aborted"
    if ended.status:
        if any(e.kind == "oom" for e in events[-3:]) or OUT_OF_MEMORY.search(tail):
            return "oom"
        if any(f.symptom == "nonfinite" and f.severity == "error" for f in trial.findings):
            return "nonfinite"
        return "crashed"
    return "finished"


def _find_worst(trial: Trial) -> str:
    bad = [f.symptom for f in trial.findings if f.severity == "error"]
    return bad[0] if bad else "a finding"


def _ends_nonfinite(trial: Trial) -> bool:
    return bool(trial.losses.size) and not math.isfinite(float(trial.losses[-1]))


def read_console_tail(folder: Path) -> str:
    """Return the end of a run's console output, '' where there is none."""
    try:
        with (folder / keeper.CONSOLE).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def find_last_line(text: str) -> str:
    """Return the last line that is not blank, cut to its last 300 characters."""
    lines = [line.strip() for line in text.splitlines() if _LAST.search(line)]
    return lines[-1][-300:] if lines else "nothing was printed"
