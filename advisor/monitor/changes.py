"""What is new in what is found: Changes between one look at a run and the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from advisor.findings import Finding
from advisor.monitor.policy import Action, Policy

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
    """Holds the findings that were told, and says what a new look changes.

    Findings of one symptom follow each other: where LR005 (a lone spike) becomes LR004
    (spikes) the latter is an update, not a second alarm beside a withdrawal.
    """

    policy: Policy = field(default_factory=Policy)
    told: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # code -> and at which step

    def look(self, findings: Sequence[Finding], step: int) -> tuple[Change, ...]:
        """Take all findings of one look, and return what is to be told."""
        changes: list[Change] = []
        now = {finding.code: finding for finding in findings}
        for code in [code for code in self.told if code not in now]:
            changes.append(self._withdraw(code, step))
        for finding in findings:
            changes += self.add(finding, step)
        return tuple(changes)

    def add(self, finding: Finding, step: int) -> list[Change]:
        """Tell one finding, if it is new or has grown."""
        before = self.told.get(finding.code)
        if before is None:
            kind: Literal["raised", "updated"] = "raised"
        elif _has_grown(*before, finding, step):
            kind = "updated"
        else:
            return []
        self.told[finding.code] = finding, step
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
