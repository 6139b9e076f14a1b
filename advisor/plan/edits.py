"""Resolves edits against a value within bounds, and merges those of several findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from advisor.base.numbers import is_number, number, same
from advisor.dialects.keys import KINDS
from advisor.findings import SEVERITIES, Edit, EditStatus, Severity
from advisor.run import Scalar

Value = Scalar | list[Scalar]
LEAP = 10.0  # the guide's largest single step
WHOLE_LEAP = 8.0  # largest step of sizes and counts, which go in powers of two


@dataclass(frozen=True, slots=True)
class Proposal:
    """An Edit with the weight of its Finding."""

    edit: Edit
    severity: Severity
    confidence: float

    @property
    def weight(self) -> tuple[int, float]:
        return SEVERITIES.index(self.severity), self.confidence


class Merged(NamedTuple):
    """At most one resolved Proposal per key, and the dropped Edits with the reason for each."""

    kept: list[Proposal]
    dropped: list[Edit]


def resolve(edit: Edit, old: Value) -> Edit:
    """Return the Edit with old and new value; unresolved if it is relative and no value is
    known."""
    if edit.applies == "advice":
        return replace(edit, old=old)
    if edit.op == "set":
        new, held = _hold_within(edit, old, edit.operand) if is_number(edit.operand) else (None, "")
        return _done(edit, old, edit.operand if new is None else new, held)
    if edit.op in ("append", "remove"):
        items: list[Scalar] = list(old) if isinstance(old, list) else [] if old is None else [old]
        kept = [item for item in items if item != edit.operand]
        return _done(edit, old, kept if edit.op == "remove" else [*kept, edit.operand], "")
    if not is_number(old) or not is_number(edit.operand):
        return note(edit, "relative: the value it starts from is not known")
    base, by = number(old), number(edit.operand)
    wanted = base * by if edit.op == "multiply" else base + by
    new, held = _hold_within(edit, old, _tidy(edit.key, old, wanted))
    return _done(edit, old, new, held)


def _done(edit: Edit, old: Value, new: Value, held: str) -> Edit:
    status: EditStatus = "bounded" if held else "resolved"
    edit = replace(edit, old=old, new=new, resolved=True, status=status)
    return note(edit, held) if held else edit


def round_off(value: Value) -> Value:
    """Return a value without binary rounding errors: 3 x 0.0002 is 0.0006.

    The only place where values to be written are rounded.
    """
    return float(f"{value:.15g}") if isinstance(value, float) and is_number(value) else value


def note(edit: Edit, text: str, status: EditStatus | None = None) -> Edit:
    """Return the Edit with one more sentence in its note (once), and the matching status."""
    if status is not None:
        edit = replace(edit, status=status)
    said = edit.note.split("; ") if edit.note else []
    return edit if text in said else replace(edit, note="; ".join([*said, text]))


def _tidy(key: str, old: Value, value: float) -> float | int:
    """Round to two digits; counts stay whole and at least 1, and move by at least 1."""
    if not math.isfinite(value):
        return number(old)
    kind = KINDS.get(key)
    if not (kind == "int" or (kind is None and isinstance(old, int))):
        return float(f"{value:.2g}")
    base = number(old)
    whole = math.floor(value + 0.5)
    if whole == base and value != base:
        whole = math.ceil(value) if value > base else math.floor(value)
    return max(whole, 1 if base >= 1 else 0)


def _hold_within(edit: Edit, old: Value, wanted: Value) -> tuple[Value, str]:
    """Return a number held within its bounds, and a note on it.

    A value already outside moves no further out. It comes back to the nearest bound, or by one LEAP
    if that is less: a value that began higher also ends no lower.
    """
    low = -math.inf if edit.low is None else edit.low
    high = math.inf if edit.high is None else edit.high
    value = number(wanted)
    start = number(old) if is_number(old) else value
    if not low <= start <= high and is_number(old):
        new = _bring_back(edit.key, start, value, low, high)
        if new == start:
            edge = low if start < low else high
            return old, f"held at {start:g}: the range ends at {edge:g}"
        if not low <= new <= high:
            side, edge = ("below", low) if new < low else ("above", high)
            return _as_kind(edit.key, new), f"still {side} the range, which ends at {edge:g}"
    else:
        new = min(max(value, low), high)
    if new == value:
        return wanted, ""
    side = "below" if value < low else "above"
    return _as_kind(edit.key, new), f"held at {new:g}: {value:g} lies {side} the range"


def _bring_back(key: str, start: float, value: float, low: float, high: float) -> float:
    """Return where a value outside its range comes to when ``value`` is wanted."""
    leap = WHOLE_LEAP if KINDS.get(key) == "int" else LEAP
    if start > high:
        reached = min(value, max(high, number(_tidy(key, start, start / leap))))
        return start if value >= start else max(low, reached)
    reached = max(value, min(low, number(_tidy(key, start, _two_digits_below(start * leap)))))
    return start if value <= start else min(high, reached)


def _two_digits_below(value: float) -> float:
    """Return the value truncated to two digits, where rounding up would exceed the largest step."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return math.floor(value / unit * (1 + 1e-12)) * unit


def _as_kind(key: str, value: float) -> float | int:
    return int(value) if KINDS.get(key) == "int" and value.is_integer() else value


def merge(proposals: Sequence[Proposal], current: Callable[[Edit], Edit]) -> Merged:
    """Return at most one Edit per key (list items apart), and the dropped ones with reasons.

    ``current`` resolves an Edit against the value in force. Two factors never compound: the
    weightier finding decides, and opposite changes leave the key alone.
    """
    kept: list[Proposal] = []
    dropped: list[Edit] = []
    for group in _by_slot(_join(proposals)):
        live: list[Proposal] = []
        idle: list[Proposal] = []
        for proposal in group:
            edit = current(proposal.edit)
            if edit.applies == "advice":
                kept.append(replace(proposal, edit=edit))
            elif edit.resolved and same(edit.old, edit.new):
                idle.append(replace(proposal, edit=_explain_unchanged(edit)))
            else:
                live.append(replace(proposal, edit=edit))
        winners, losers = _decide(live, idle)
        kept += winners
        dropped += losers
    return Merged(_chain(kept), dropped)


def _chain(kept: Sequence[Proposal]) -> list[Proposal]:
    """Return list edits that each start from the result of the one before."""
    lists: dict[str, Value] = {}
    chained = []
    for proposal in kept:
        edit = proposal.edit
        if edit.op in ("append", "remove") and edit.resolved:
            edit = replace(resolve(edit, lists.get(edit.key, edit.old)), old=edit.old)
            lists[edit.key] = edit.new
        chained.append(replace(proposal, edit=edit))
    return chained


def _explain_unchanged(edit: Edit) -> Edit:
    """Return the Edit with the reason why it changes nothing, unless a bound gives it already."""
    return edit if edit.status == "bounded" else note(edit, f"already {edit.old}", "unchanged")


def _decide(live: list[Proposal], idle: list[Proposal]) -> tuple[list[Proposal], list[Edit]]:
    """Return the proposals kept for one key, and the dropped edits; ``idle`` ones would change
    nothing."""
    wishes = {p.edit.direction for p in (*live, *idle)} - {0}
    opposed = {p.edit.op for p in live} == {"append", "remove"}
    if live and (len(wishes) == 2 or opposed):
        all_of_them = [p for p in (*live, *idle) if p.edit.direction or opposed]
        names = " and ".join(dict.fromkeys(_codes(p.edit) for p in all_of_them))
        why = f"conflict: {names} want opposite changes"
        return [], [note(p.edit, why, "conflict") for p in (*live, *idle)]
    if len(live) < 2:
        return live, [p.edit for p in idle]
    # max() keeps the first of equals; a set is absolute, so it beats an equal multiply
    best = max(live, key=lambda p: (*p.weight, p.edit.op == "set"))
    losers = [p.edit for p in live if p is not best]
    why = f"superseded by {_codes(best.edit)}"
    superseded = [note(edit, why, "superseded") for edit in losers]
    return [best], [*superseded, *(p.edit for p in idle)]


def _codes(edit: Edit) -> str:
    return "+".join(edit.because) or "another edit"


def _join(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Join equal edits of several findings: codes are combined, the greatest weight stays."""
    found: dict[tuple[object, ...], Proposal] = {}
    for proposal in proposals:
        edit = proposal.edit
        text = edit.note if edit.applies == "advice" else ""
        slot = (edit.key, edit.op, repr(edit.operand), edit.applies == "advice", text)
        if slot not in found:
            found[slot] = proposal
            continue
        other = found[slot]
        heavy = max(other, proposal, key=lambda p: p.weight)
        because = tuple(dict.fromkeys((*other.edit.because, *edit.because)))
        applies = "review" if "review" in (other.edit.applies, edit.applies) else edit.applies
        joined = replace(
            heavy.edit,
            because=because,
            applies=applies,
            low=_tightest(max, other.edit.low, edit.low),
            high=_tightest(min, other.edit.high, edit.high),
        )
        found[slot] = replace(heavy, edit=joined)
    return list(found.values())


def _tightest(
    pick: Callable[[float, float], float], left: float | None, right: float | None
) -> float | None:
    if left is None or right is None:
        return right if left is None else left
    return pick(left, right)


def _by_slot(proposals: Sequence[Proposal]) -> list[list[Proposal]]:
    groups: dict[str, list[Proposal]] = {}
    for proposal in proposals:
        edit = proposal.edit
        item = f"[{edit.operand!r}]" if edit.op in ("append", "remove") else ""
        groups.setdefault(edit.key + item, []).append(proposal)
    return list(groups.values())
