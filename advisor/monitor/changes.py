"""Changes in the findings between one look at a run and the next."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from advisor.findings import Finding
from advisor.monitor.policy import Action, Policy

# A finding must hold, or be gone, for this many rows, or this share of all rows, to be reported.
LEAST, PATIENCE = 2, 0.05
GROWN = 0.5  # report a finding again when its span has grown by this share of the run
DOUBLED = 2.0  # ... or when its value lies this many times as far from the expected one


@dataclass(frozen=True, slots=True)
class Change:
    """A Finding that is reported for the first time, reported again, or withdrawn."""

    kind: Literal["raised", "updated", "withdrawn"]
    finding: Finding
    step: int  # the last step logged when it was reported
    action: Action = "warn"  # what the policy asks the trainer to do
    by: str = ""  # code of the finding that explains a withdrawn one


@dataclass(frozen=True, slots=True)
class Look:
    """The result of one look at a run."""

    findings: Sequence[Finding]
    step: int  # the last step logged
    row: int | None = None  # rows seen so far; None: maybe the last look, so nothing is held back
    asked: Container[str] | None = None  # codes of the rules that were evaluated; None: all
    at_once: Container[str] = ()  # codes to report without delay
    explained: Mapping[str, str] = field(default_factory=dict)  # code -> code that explains it


@dataclass(slots=True)
class Tracker:
    """Keeps the reported findings, and returns what a new look changes.

    A finding that is not urgent is reported once it has held for a while, and withdrawn once it
    has been gone for a while, so that findings do not flicker with single points.
    """

    policy: Policy = field(default_factory=Policy)
    # reported: code -> finding, and the step at which it was reported last
    reported: dict[str, tuple[Finding, int]] = field(default_factory=dict)
    current: dict[str, Finding] = field(default_factory=dict)  # reported, in their present state
    pending: dict[str, int] = field(default_factory=dict)  # not reported yet: code -> first row
    absent: dict[str, int] = field(default_factory=dict)  # reported, but absent: code -> first row

    def look(self, look: Look) -> tuple[Change, ...]:
        """Take the findings of one look, and return the changes to report."""
        changes: list[Change] = []
        found = {finding.code for finding in look.findings}
        for code in [c for c in self.pending if c not in found and _was_asked(c, look)]:
            del self.pending[code]
        for finding in look.findings:
            code = finding.code
            self.absent.pop(code, None)
            if code in self.reported or self._is_due(finding, look):
                self.pending.pop(code, None)
                self.current[code] = finding
                changes += self._report(finding, look.step)
        for code in [c for c in self.reported if c not in found and _was_asked(c, look)]:
            changes += self._withdraw(code, look)
        return tuple(changes)

    def restart(self, step: int) -> tuple[Change, ...]:
        """Withdraw all findings, because another run has begun; return the withdrawals."""
        before = [finding for finding, _ in self.reported.values()]
        for held in (self.reported, self.current, self.pending, self.absent):
            held.clear()
        return tuple(Change("withdrawn", finding, step) for finding in before)

    def _is_due(self, finding: Finding, look: Look) -> bool:
        """Return whether to report a new finding now.

        Findings from evaluations need no delay: their rules ask for several evaluations anyway.
        """
        if look.row is None or finding.code in look.at_once:
            return True
        stood = _is_past(self.pending, finding.code, look.row)
        return stood or "eval/loss" in finding.plots[:1]

    def _withdraw(self, code: str, look: Look) -> list[Change]:
        """Withdraw a finding that another one explains, at once, or that has been gone a while."""
        by = look.explained.get(code, "")
        if by in self.pending:
            return []  # wait until that one is reported
        by = by if by in self.reported else ""
        waits = not by and look.row is not None and not _is_past(self.absent, code, look.row)
        if waits:
            return []
        self.absent.pop(code, None)
        del self.current[code]
        finding, _ = self.reported.pop(code)
        return [Change("withdrawn", finding, look.step, by=by)]

    def _report(self, finding: Finding, step: int) -> list[Change]:
        """Report a finding if it is new or has grown."""
        before = self.reported.get(finding.code)
        if before is not None and not _has_grown(*before, finding, step):
            return []
        self.reported[finding.code] = finding, step
        kind: Literal["raised", "updated"] = "raised" if before is None else "updated"
        return [Change(kind, finding, step, self.policy.choose_action(finding))]


def _was_asked(code: str, look: Look) -> bool:
    return look.asked is None or code in look.asked


def _is_past(rows: dict[str, int], code: str, row: int) -> bool:
    """Note the row since when something holds, and return whether that is long enough ago."""
    since = rows[code] = min(rows.get(code, row), row)
    return row >= since + max(LEAST, int(PATIENCE * since))


def _has_grown(old: Finding, reported_at: int, new: Finding, step: int) -> bool:
    """Return whether a finding has changed clearly since it was reported last."""
    if (old.severity, old.symptom) != (new.severity, new.symptom):
        return True
    if _is_doubled(old, new):
        return True
    if old.last_step is None or new.last_step is None:
        return False
    return new.last_step > old.last_step and step - reported_at > GROWN * max(reported_at, 1)


def _is_doubled(old: Finding, new: Finding) -> bool:
    """Return whether some value lies twice as far from the expected one, or became NaN or inf."""
    before = {(e.series, e.expected is None, i): e for i, e in enumerate(old.evidence)}
    for i, now in enumerate(new.evidence):
        was = before.get((now.series, now.expected is None, i))
        if was is None or was.value is None or now.value is None or now.expected is None:
            continue
        if math.isfinite(was.value) and not math.isfinite(now.value):
            return True
        if abs(now.value - now.expected) > DOUBLED * abs(was.value - (was.expected or 0.0)) > 0:
            return True
    return False
