"""One followed run: its state at the last look, and the changes that the next look brings."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from advisor.diagnosis import judge
from advisor.findings import Finding, Report, Status
from advisor.monitor import Change, Look, Tracker
from advisor.monitor.looks import estimate_done
from advisor.pipeline import Request, judge_run, with_config
from advisor.rulebook.rule import Rule, Rulebook
from advisor.run import Run
from advisor.signals import View
from advisor.watch.history import Turn, add_parts, continue_run, last_step, main_series
from advisor.watch.places import identify_file

Rotated = Callable[[tuple[int, int] | None], Sequence[Run]]
AT_ONCE = frozenset(
    ("nonfinite", "no_signal", "oom", "divergence", "spike", "spikes", "grad_spikes")
)


@dataclass(slots=True)
class Followed:
    """A followed run: its log so far, its Report, and the findings that were reported."""

    path: Path
    id: str
    run: Run  # with what earlier, rotated files of its log held
    report: Report | None = None  # everything that `advise check` would print
    tracker: Tracker = field(default_factory=Tracker)
    over: bool = False  # whether the run has ended
    _carried: Run | None = None  # contents of earlier files of this log
    _read: Run | None = None  # contents of its file when it was read last
    _file: tuple[int, int] | None = None  # device and inode of that file
    _digest: bytes = b""  # digest of the run when it was judged last
    _has_restarted: bool = False  # whether it restarted since the last look

    def take(self, read: Run, rotated: Rotated = lambda was: ()) -> Turn:
        """Take the log's present contents; return how they relate to the previous ones.

        ``rotated`` returns the contents of the files that the log was moved away to since.
        """
        file = identify_file(Path(read.path))
        turn: Turn = "grown"
        if self._read is not None:
            replaced = file != self._file or _is_shorter(self._read, read)
            _, turn = continue_run(self._read, read, replaced)
            if turn == "continued":
                self._carried = add_parts(self.run, rotated(self._file), read)
            elif turn == "restarted":
                self._carried, self._has_restarted = None, True
        self._file, self._read = file, read
        self.run = read
        if self._carried is not None:
            self.run, _ = continue_run(self._carried, read, True)
        return turn

    def judge(self, rulebook: Rulebook, request: Request) -> tuple[Change, ...]:
        """Judge the run if it has changed; return the changes to report."""
        run = with_config(self.run, request)
        over = is_over(run)
        now = digest_run(run) + bytes([over])
        if now == self._digest and self.report is not None:
            return ()
        first = self.report is None
        before = self.tracker.restart(last_step(run)) if self._has_restarted else ()
        self._has_restarted = False
        self._digest, self.over = now, over
        self.report = judge_run(run, rulebook, request)
        spoken = filter_live(self.report.findings, rulebook, run, over)
        series = main_series(run)
        row = None if first or over else 0 if series is None else len(series)
        at_once = {rule.code for rule in rulebook if rule.symptom in AT_ONCE}
        return (*before, *self.tracker.look(self._look(spoken, row, at_once)))

    def settle(self, rulebook: Rulebook, over: bool = False) -> tuple[Change, ...]:
        """Return the changes held back so far, since no more rows come for now.

        ``over``: the run has ended.
        """
        if self.report is None:
            return ()
        self.over = self.over or over
        spoken = filter_live(self.report.findings, rulebook, self.run, self.over)
        return self.tracker.look(self._look(spoken, None))

    @property
    def standing(self) -> tuple[Finding, ...]:
        """The reported findings in their present state."""
        return tuple(self.tracker.current.values())

    @property
    def status(self) -> Status:
        """The status by the reported findings: one that is still held back does not count."""
        known = self.report.status if self.report is not None else "unknown"
        if self.over or known == "unknown":
            return known
        severities = {finding.severity for finding in self.standing}
        if "error" in severities:
            return "failing"
        return "warning" if "warning" in severities else "ok"

    def _look(
        self, spoken: Sequence[Finding], row: int | None, at_once: Container[str] = ()
    ) -> Look:
        held = () if self.report is None else self.report.suppressed
        explained = {finding.code: by for finding, by in held}
        return Look(spoken, last_step(self.run), row, None, at_once, explained)


def filter_live(
    findings: Sequence[Finding], rulebook: Rulebook, run: Run, over: bool
) -> tuple[Finding, ...]:
    """Return the findings that make sense now: not 'trained too short' while a run trains."""
    if over:
        return tuple(findings)
    rules, view = {rule.code: rule for rule in rulebook}, View(run)
    done = estimate_done(view)
    return tuple(f for f in findings if f.code not in rules or _is_live(rules[f.code], view, done))


def _is_live(rule: Rule, view: View, done: float) -> bool:
    """Return whether a rule that holds is reported during the run."""
    if rule.live > done:
        return False
    return not rule.live_when or judge(replace(rule, when=rule.live_when), view).value is True


def is_over(run: Run) -> bool:
    """Return whether a log states that its run has ended."""
    facts = run.facts
    if "train_runtime" in facts or facts.get("ended"):  # Trainer and our trainer write these last
        return True
    planned = facts.get("max_steps")
    series = main_series(run)
    if not isinstance(planned, int | float) or planned <= 0 or series is None:
        return False
    reached = facts.get("global_step")
    last = max(last_step(run), reached if isinstance(reached, int) else 0)
    from_zero = int(series.steps[0]) == 0  # then the last of N steps is N - 1
    return last >= planned - from_zero


def digest_run(run: Run) -> bytes:
    """Return a digest of everything that a Report depends on."""
    digest = blake2b(digest_size=16)
    for name, series in sorted(run.series.items()):
        digest.update(f"{name} {len(series)} {series.dropped}".encode("utf-8", "replace"))
        for part in (series.steps, series.values, series.epochs, series.times):
            if part is not None:
                digest.update(part.tobytes())
    rest = (run.events, run.notes, sorted(run.facts.items()), sorted(run.config.values.items()))
    digest.update(repr((run.path, run.id, rest)).encode("utf-8", "replace"))
    return digest.digest()


def _is_shorter(before: Run, now: Run) -> bool:
    """Return whether a log has lost points: it was truncated, or started over in the same file."""
    old, new = main_series(before), main_series(now)
    if old is None or new is None:
        return old is not None
    return bool(new.steps[0] > old.steps[0] or new.steps[-1] < old.steps[-1])
