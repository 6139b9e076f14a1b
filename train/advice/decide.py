"""Decide what to do about the Monitor's findings: nothing yet, a stop, or a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from advisor.findings import Edit, Finding
from advisor.monitor import Change
from train.advice.health import Health

Kind = Literal["stop", "early_stop", "roll_back"]
CUT, LEAP = 0.5, 0.1  # of the learning rate: where the plan has no factor, where a cut was too mild
_HELD_OUT = ("overfit", "overfit_onset")
_ROW = 3  # steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, and the finding that asks for it. ``onset``: the first step that is not
    trusted."""

    kind: Kind
    code: str
    text: str
    onset: int = 0
    factor: float = 1.0

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class Standing:
    """The findings that ask for an action and were not withdrawn."""

    def __init__(self) -> None:
        self._changes: dict[str, Change] = {}

    def take(self, changes: Sequence[Change]) -> None:
        """Take in the Monitor's changes."""
        for change in changes:
            if change.kind == "withdrawn" or change.action == "warn":
                self._changes.pop(change.finding.code, None)
            else:
                self._changes[change.finding.code] = change

    def drop(self, code: str) -> None:
        self._changes.pop(code, None)

    def clear(self) -> None:
        self._changes.clear()

    def __bool__(self) -> bool:
        return bool(self._changes)

    def due(self, health: Health) -> Change | None:
        """Return the finding to act on now: a stop first; a finding that may heal gets time."""
        ready = [each for each in self._changes.values() if _is_due(each, health)]
        return min(ready, key=lambda each: each.action != "stop", default=None)


def _is_due(change: Change, health: Health) -> bool:
    """Return whether an action is due.

    One batch without a number is skipped, most spikes heal, and of gradients that the loss does
    not follow clipping takes care.
    """
    finding = change.finding
    if finding.symptom == "nonfinite":
        held_out = any(each.series.startswith("eval/") for each in finding.evidence)
        return health.bad >= _ROW or (held_out and change.action == "stop")
    if finding.symptom in ("spikes", "spike", "grad_spikes"):
        return health.bad + health.above >= _ROW
    return True


def decide(change: Change, health: Health, step: int, edits: Sequence[Edit]) -> Decision:
    """Return what to do about a finding; ``step`` is the last step taken."""
    finding = change.finding
    text = f"{finding.code} {finding.name}: {finding.message}"
    if change.action == "stop":
        return Decision(kind="stop", code=finding.code, text=text)
    if finding.symptom in _HELD_OUT:
        return Decision(kind="early_stop", code=finding.code, text=text)
    return Decision(
        kind="roll_back", code=finding.code, text=text,
        onset=_onset(finding, health, step), factor=_factor(finding, edits),
    )  # fmt: skip


def _onset(finding: Finding, health: Health, step: int) -> int:
    """Return the step at which a finding began; one over the whole run does not say, the last steps
    may."""
    said = finding.first_step
    found = [at for at in (said, health.since) if at is not None and at > 0]
    return min(found, default=step)


def _factor(finding: Finding, edits: Sequence[Edit]) -> float:
    """Return the plan's factor for the learning rate, else the rule's own, else a half."""
    for edit in (*edits, *finding.edits):
        by = edit.operand
        if edit.key != "optimizer.lr" or edit.op != "multiply":
            continue
        if edit.resolved and _is_number(edit.old) and _is_number(edit.new) and edit.old:
            by = float(edit.new) / float(edit.old)  # type: ignore[arg-type]
        if _is_number(by) and 0 < float(by) < 1:  # type: ignore[arg-type]
            return float(by)  # type: ignore[arg-type]
    return CUT


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
