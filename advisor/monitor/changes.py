"""What is new in what is found: Changes between one look at a run and the next."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from advisor.findings import Finding
from advisor.monitor.policy import Action, Policy

LEAST, PATIENCE = 2, 0.05  # rows, or part of them, that a finding has to stand or be gone for
GROWN = 0.5  # a finding is told again when its span has grown by this share of the run
DOUBLED = 2.0  # or when what shows it lies so many times as far from what was expected


@dataclass(frozen=True, slots=True)
class Change:
    """A Finding that is told for the first time, anew, or taken back.

    ``by`` is the code of the finding that takes the place of one that is taken back.
    """

    kind: Literal["raised", "updated", "withdrawn"]
    finding: Finding
    step: int
    action: Action = "warn"
    by: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a run: what was found, and how far the run was."""

    findings: Sequence[Finding]
    step: int
    row: int | None = None  # rows that were seen; None: nothing more may come, all is told
    asked: Container[str] | None = None  # the codes that were asked for; None: all
    at_once: Container[str] = ()  # the codes that are told without delay
    explained: Mapping[str, str] = field(default_factory=dict)  # code -> the finding that does


@dataclass(slots=True)
class Tracker:
    """Holds the findings that were told, and says what a new look changes.

    What is not urgent is told when it has stood for a while, and taken back when it has been
    gone for a while: what comes and goes with the next points does not flicker.
    """

    policy: Policy = field(default_factory=Policy)
    told: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # code -> and at which step
    now: dict[str, Finding] = field(default_factory=dict)  # what was told, as it stands now
    seen: dict[str, int] = field(default_factory=dict)  # not told yet: code -> since which row
    gone: dict[str, int] = field(default_factory=dict)  # told, and not found since which row

    def look(self, look: Look) -> tuple[Change, ...]:
        """Take the findings of one look, and return what is to be told."""
        changes: list[Change] = []
        found = {finding.code for finding in look.findings}
        for code in [c for c in self.seen if c not in found and _was_asked(c, look)]:
            del self.seen[code]
        for finding in look.findings:
            code = finding.code
            self.gone.pop(code, None)
            if code in self.told or self._is_due(finding, look):
                self.seen.pop(code, None)
                self.now[code] = finding
                changes += self._tell(finding, look.step)
        for code in [c for c in self.told if c not in found and _was_asked(c, look)]:
            changes += self._miss(code, look)
        return tuple(changes)

    def restart(self, step: int) -> tuple[Change, ...]:
        """Take all back: another run has begun."""
        before = [finding for finding, _ in self.told.values()]
        for held in (self.told, self.now, self.seen, self.gone):
            held.clear()
        return tuple(Change("withdrawn", finding, step) for finding in before)

    def _is_due(self, finding: Finding, look: Look) -> bool:
        """Return whether to report a new finding now.

        Findings from evaluations need no delay: their rules ask for several evaluations anyway.
        """
        if look.row is None or finding.code in look.at_once:
            return True
        stood = _is_past(self.seen, finding.code, look.row)
        return stood or "eval/loss" in finding.plots[:1]

    def _miss(self, code: str, look: Look) -> list[Change]:
        """Take back what another finding explains, at once, and what has been gone for a while."""
        by = look.explained.get(code, "")
        if by in self.seen:
            return []  # until that one is told
        by = by if by in self.told else ""
        waits = not by and look.row is not None and not _is_past(self.gone, code, look.row)
        if waits:
            return []
        self.gone.pop(code, None)
        del self.now[code]
        finding, _ = self.told.pop(code)
        return [Change("withdrawn", finding, look.step, by=by)]

    def _tell(self, finding: Finding, step: int) -> list[Change]:
        """Tell one finding, if it is new or has grown."""
        before = self.told.get(finding.code)
        if before is not None and not _has_grown(*before, finding, step):
            return []
        self.told[finding.code] = finding, step
        kind: Literal["raised", "updated"] = "raised" if before is None else "updated"
        return [Change(kind, finding, step, self.policy.action(finding))]


def _was_asked(code: str, look: Look) -> bool:
    return look.asked is None or code in look.asked


def _is_past(rows: dict[str, int], code: str, row: int) -> bool:
    """Note since which row something is so, and say whether that is long enough ago."""
    since = rows[code] = min(rows.get(code, row), row)
    return row >= since + max(LEAST, int(PATIENCE * since))


def _has_grown(old: Finding, told_at: int, new: Finding, step: int) -> bool:
    """Return whether a finding says something else than when it was told last."""
    if (old.severity, old.symptom) != (new.severity, new.symptom):
        return True
    if _is_doubled(old, new):
        return True
    if old.last_step is None or new.last_step is None:
        return False
    return new.last_step > old.last_step and step - told_at > GROWN * max(told_at, 1)


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
