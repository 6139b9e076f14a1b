"""What is new in what is found: Changes between one look at a run and the next."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Literal

from advisor.findings import Finding
from advisor.monitor.policy import Action, Policy

LEAST, PATIENCE = 2, 0.05  # rows, or part of them, that a finding has to stand for
GROWN = 0.5  # a finding is told again when its span has grown by this share of the run


@dataclass(frozen=True, slots=True)
class Change:
    """A Finding that is told for the first time, anew, or taken back."""

    kind: Literal["raised", "updated", "withdrawn"]
    finding: Finding
    step: int
    action: Action = "warn"


@dataclass(slots=True)
class Tracker:
    """Holds the findings that were told, and says what a new look changes."""

    policy: Policy = field(default_factory=Policy)
    told: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # code -> and at which step
    seen: dict[str, int] = field(default_factory=dict)  # not told yet: code -> since which row

    def look(
        self,
        findings: Sequence[Finding],
        step: int,
        asked: Container[str] | None = None,
        row: int | None = None,
    ) -> tuple[Change, ...]:
        """Take the findings of one look, and return what is to be told.

        ``asked`` holds the codes that the look asked for, None for all. ``row`` counts the rows
        that were seen: a new finding has to stand for a while before it is told. None: at once.
        """
        changes: list[Change] = []
        now = {finding.code for finding in findings}
        gone = [
            c for c in (*self.told, *self.seen) if c not in now and (asked is None or c in asked)
        ]
        for code in gone:
            self.seen.pop(code, None)
            if code in self.told:
                changes.append(self._withdraw(code, step))
        for finding in findings:
            if finding.code in self.told or row is None or self._stood(finding, row):
                self.seen.pop(finding.code, None)
                changes += self._tell(finding, step)
        return tuple(changes)

    def _stood(self, finding: Finding, row: int) -> bool:
        """Whether a finding has stood for long enough. What rests on evaluations has: its rules
        ask for several of them."""
        since = self.seen.setdefault(finding.code, row)
        rests_on_eval = "eval/loss" in finding.plots[:1]
        return rests_on_eval or row >= since + max(LEAST, int(PATIENCE * since))

    def _tell(self, finding: Finding, step: int) -> list[Change]:
        """Tell one finding, if it is new or has grown."""
        before = self.told.get(finding.code)
        if before is not None and not _has_grown(*before, finding, step):
            return []
        self.told[finding.code] = finding, step
        kind: Literal["raised", "updated"] = "raised" if before is None else "updated"
        return [Change(kind, finding, step, self.policy.action(finding))]

    def _withdraw(self, code: str, step: int) -> Change:
        finding, _ = self.told.pop(code)
        return Change("withdrawn", finding, step)


def _has_grown(old: Finding, told_at: int, new: Finding, step: int) -> bool:
    """Whether a finding says something else than when it was told last."""
    if (old.severity, old.symptom) != (new.severity, new.symptom):
        return True
    if old.last_step is None or new.last_step is None:
        return False
    return new.last_step > old.last_step and step - told_at > GROWN * max(told_at, 1)
