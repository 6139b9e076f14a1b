"""The tuning loop: run, diagnose, change one thing, run again, keep or revert, until no gain."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from advisor.base.numbers import is_number, number
from advisor.base.redact import restore
from advisor.errors import AdvisorError
from advisor.tuning import keeper
from advisor.tuning.budget import estimate_time
from advisor.tuning.choice import best_of, judge_change, noise_of
from advisor.tuning.crashes import Crashes
from advisor.tuning.driver import Driver, Length
from advisor.tuning.launch import Job, Launcher, Running, read_exit, settle
from advisor.tuning.ledger import Entry, TrialPlan
from advisor.tuning.planning import Planner, format_end, format_start, read_start_values
from advisor.tuning.reading import OUTPUT, Ended, Judged, TrialReader, judge_ended, trial_of
from advisor.tuning.session import (
    Session,
    config_of,
    drop_checkpoints,
    find_checkpoints,
    hide_secrets,
    write_config,
)
from advisor.tuning.trial import Limits, Stop, Strategy, Trial
from advisor.tuning.watching import PROBED, TrialPulse, Watch

_PAUSE = (0.02, 0.5)  # seconds between two polls of the runs: shortest, longest


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts and settings of a loop."""

    strategy: Strategy
    reader: TrialReader
    driver: Driver
    launcher: Launcher
    limits: Limits
    parallel: int = 1  # runs at the same time
    keep: str = "all"  # checkpoints: of all runs, or only of the start and the best
    say: Callable[[str], None] = lambda line: None


@dataclass(slots=True)
class _Active:
    """A run in progress, with what the loop needs to end it early."""

    entry: Entry
    running: Running
    watch: Watch
    pulse: TrialPulse
    most: float  # seconds that --hours leaves for it
    longest: float  # seconds of the longest run so far
    began: float = field(default_factory=time.monotonic)  # seconds


@dataclass(slots=True)
class TuningLoop:
    """One loop over one session; its whole state is in the Ledger, so a kill loses nothing."""

    session: Session
    tools: Tools
    crashes: Crashes = field(default_factory=Crashes)

    def run(self) -> str:
        """Run until the strategy or a limit stops; return the reason.

        NoResult where the start run keeps crashing.
        """
        while True:
            waiting = [e for e in self.session.ledger.entries() if e.state != "done"]
            if not waiting:
                found = self._make_planner().propose()
                if isinstance(found, Stop):
                    return found.reason
                self.session.ledger.plan(found)
                continue
            self._run_all(waiting[: max(1, self.tools.parallel)])

    def _make_planner(self) -> Planner:
        tools = self.tools
        return Planner(self.session, tools.strategy, tools.limits, tools.parallel)

    def _run_all(self, waiting: Sequence[Entry]) -> None:
        active: list[_Active] = []
        try:
            for entry in waiting:
                started = self._start(entry)
                if started is not None:
                    active.append(started)
            while active:
                self._look(active)
        except BaseException:
            for each in active:
                each.running.pause()
            raise

    def _look(self, active: list[_Active]) -> None:
        over = [each for each in active if each.running.poll()]
        for each in over:
            active.remove(each)
            self._end(each.entry, each.watch.symptom)
        for each in active:
            self._condemn(each)
        if active and not over:
            age = time.monotonic() - min(each.began for each in active)
            time.sleep(min(max(age / 50, _PAUSE[0]), _PAUSE[1]))

    def _start(self, entry: Entry) -> _Active | None:
        """Start a run or resume an interrupted one; return None where it has ended already."""
        plan, folder = entry.plan, self.session.place(entry.plan.folder)
        settle(folder)
        if not plan.config:
            self._finish(entry, Judged(replace(self._make_empty(plan), status="crashed"), None,
                                       plan.diff), 0.0, None)  # fmt: skip
            return None
        if read_exit(folder) is not None:  # it ended after the last loop was killed
            self._end(entry, "")
            return None
        folder.mkdir(parents=True, exist_ok=True)
        config = config_of(folder, self.session.start.path)
        start = self.session.start
        text = restore(plan.config, start.text) or plan.config
        write_config(config, text, start.path)
        if not (self.tools.driver.ours and find_checkpoints(folder)):  # nothing to resume from
            shutil.rmtree(folder / OUTPUT, ignore_errors=True)
            (folder / keeper.CONSOLE).unlink(missing_ok=True)
        self.session.ledger.begin(plan.number)
        self.tools.say(format_start(entry, self.session.start))
        driver = self.tools.driver
        words = driver.build_command(
            plan, config.resolve(), (folder / OUTPUT).resolve(), self._read_length()
        )
        env = driver.build_environment(plan)
        running = self.tools.launcher.start(
            Job(folder.resolve(), words, self.session.setup.cwd, env)
        )
        hours, taken = self.tools.limits.hours, [e.seconds for e in self.session.ledger.entries()]
        most = math.inf if hours is None else hours * 3600 - sum(taken)
        return _Active(
            entry, running, Watch(driver.find_last_step(plan)), TrialPulse(folder), most, max(taken)
        )

    def _condemn(self, each: _Active) -> None:
        """End a run early: out of time, hanging, a probe that is done, or condemned by its log."""
        if each.watch.symptom or each.watch.over:
            return
        if time.monotonic() - each.began > each.most:
            each.watch.end(each.running, "", "the --hours of the session are used up")
            return
        if not each.watch.is_due():
            return
        if each.pulse.is_dead(each.longest):
            silent = each.pulse.measure_silence()
            each.watch.end(each.running, "", f"it hangs: silent for {silent:.0f} s")
            return
        if each.pulse.is_report_due():
            minutes = each.pulse.measure_silence() / 60
            run = each.entry.plan.number
            self.tools.say(f"run {run}: silent for {minutes:.0f} min; Ctrl-C ends it")
        each.watch.look(each.running, lambda: self._read_partial(each), self._judge)

    def _read_partial(self, each: _Active) -> Trial | None:
        """Return what a run has logged so far, None where that cannot be read yet."""
        plan, folder = each.entry.plan, self.session.place(each.entry.plan.folder)
        try:
            run = self.tools.reader.read(folder, config_of(folder, self.session.start.path))
        except (AdvisorError, OSError):  # a half-written line or file: the next look reads it
            return None
        if run is None:
            return None
        report = self.tools.reader.judge(run)
        return trial_of(plan.number, plan.kind, plan.values, report)

    def _judge(self, partial: Trial) -> str:
        history = self.session.ledger.trials()
        if not history:
            return ""
        limits, noise = self.tools.limits, noise_of(history)
        return self.tools.strategy.explain_hopeless(partial, history, limits, noise)

    def _end(self, entry: Entry, symptom: str) -> None:
        plan, folder = entry.plan, self.session.place(entry.plan.folder)
        found = read_exit(folder)
        if found is None:  # its keeper was killed: the next round resumes it
            self.crashes.count_lost(folder)
            return
        config = config_of(folder, self.session.start.path)
        over = Ended(folder, config, found, symptom, self.tools.driver.find_last_step(plan))
        judged = judge_ended(self.tools.reader, over, self._make_empty(plan))
        if plan.kind == "probe" and judged.trial.status == "aborted" and found.stopped == PROBED:
            judged = replace(judged, trial=replace(judged.trial, status="finished"), said="")
        if plan.number == 1 and judged.trial.status == "crashed":
            (folder / keeper.EXIT).unlink(missing_ok=True)  # retry it, now or by --resume
            self.crashes.count_start(judged.said, found.status, folder, self.tools.driver.ours)
            return
        self._finish(entry, judged, found.seconds, found.status)

    def _finish(self, entry: Entry, judged: Judged, seconds: float, status: int | None) -> None:
        ledger, trial = self.session.ledger, judged.trial
        if entry.plan.number == 1:
            trial = self._note_start(judged)
        before = ledger.entries()
        word = judge_change(trial, [e.trial for e in before if e.trial is not None])
        ledger.finish(
            replace(entry, trial=trial, seconds=seconds, exit=status, said=judged.said,
                    verdict=word)
        )  # fmt: skip
        hide_secrets(config_of(self.session.place(entry.plan.folder), self.session.start.path))
        self.tools.say(format_end(trial, seconds, judged.said, word))
        most = estimate_time(self.tools.limits, seconds) if entry.plan.number == 1 else ""
        if most:
            self.tools.say(most)
        if self.tools.keep == "best":
            self._drop_checkpoints()

    def _note_start(self, judged: Judged) -> Trial:
        """Store the start run's values, with the trainer's defaults, and its planned length."""
        trial, report = judged.trial, judged.report
        if self.tools.limits.tokens is not None and not trial.tokens:
            self.tools.say("--tokens: this log has no token counts; use --hours instead")
        if report is None:
            self.session.ledger.note(start=dict(trial.values))
            return trial
        values = read_start_values(report.run)
        facts = report.run.facts
        batch = values.get("step_scheduler.global_batch_size")
        per_epoch, total = facts.get("steps_per_epoch"), facts.get("max_steps")
        rows = number(per_epoch) * number(batch) if is_number(per_epoch) and is_number(batch) else 0
        self.session.ledger.note(
            start=values,
            length=[int(number(total)) if is_number(total) else None, rows or None],
        )
        return replace(trial, values=values)

    def _read_length(self) -> Length:
        total, rows = self.session.ledger.state("length") or (None, None)
        return Length(total, rows)

    def _make_empty(self, plan: TrialPlan) -> Trial:
        return Trial(plan.number, plan.values, plan.kind, "finished", reason=plan.reason)

    def _drop_checkpoints(self) -> None:
        entries = [e for e in self.session.ledger.entries() if e.trial is not None]
        best = best_of([e.trial for e in entries if e.trial is not None])
        for entry in entries:
            if entry.plan.number not in (1, best.number if best else 1):
                drop_checkpoints(self.session.place(entry.plan.folder))
