"""What is new in what is found: Changes between one look at a run and the next."""

from __future__ import annotations

from collections.abc import Container, Sequence
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
    """Holds the findings that were told, and says what a new look changes."""

    policy: Policy = field(default_factory=Policy)
    told: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # code -> and at which step
    seen: set[str] = field(default_factory=set)  # once, not told yet

    def look(
        self,
        findings: Sequence[Finding],
        step: int,
        asked: Container[str] | None = None,
        urgent: bool = True,
    ) -> tuple[Change, ...]:
        """Take the findings of one look, and return what is to be told.

        ``asked`` holds the codes that the look asked for, None for all. Unless it was urgent, a
        new finding has to stand at two looks before it is told.
        """
        changes: list[Change] = []
        now = {finding.code for finding in findings}
        for code in list(self.told):
            if code not in now and (asked is None or code in asked):
                changes.append(self._withdraw(code, step))
        for finding in findings:
            if finding.code in self.told or urgent or finding.code in self.seen:
                changes += self._tell(finding, step)
        waiting = now - self.told.keys()
        self.seen = waiting if asked is None else waiting | {c for c in self.seen if c not in asked}
        return tuple(changes)

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
