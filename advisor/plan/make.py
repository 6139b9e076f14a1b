"""From Findings to the Plan: the consistent, ordered Edits that the next run takes.

Five steps, each from one type to the next:

    propose    Findings   -> Proposals  every Edit, at the key that decides
    merge      Proposals  -> Merged     one Edit a key, with its old and new value, within bounds
    choose     Merged     -> Draft      what the next run takes, what waits, what is dropped
    complete   Draft      -> Draft      what must come along, in the guide's order
    write      Draft      -> Plan       in the user's own keys and values, with flags and a diff
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, auto
from pathlib import Path

from advisor.base.numbers import is_number, number, same
from advisor.base.redact import redact_text
from advisor.config.ranges import warmup_range
from advisor.dialects import tree as trees
from advisor.errors import ConfigError, EditError
from advisor.findings import Edit, EditStatus, Finding, Plan
from advisor.plan import coupling
from advisor.plan.bounds import bound, cure_range
from advisor.plan.deciding import deciding
from advisor.plan.edits import Merged, Proposal, merge, note, resolve, round_off
from advisor.plan.target import Target, plain
from advisor.rulebook.causes import CURES
from advisor.run import Config, Run

_VARIABLE = re.compile(r"\$\{|\$\w|\{\{|%\(|<\w+>")


class Group(IntEnum):
    """What a key is about, in the guide's order of tuning."""

    MEASURING = auto()
    NUMERICS = auto()  # also memory, and every key outside the other groups
    RATE = auto()
    BATCH = auto()
    EPOCHS = auto()
    REGULARISATION = auto()


_STARTS = {
    Group.MEASURING: (
        "validation", "checkpoint.", "logging.", "step_scheduler.val_", "step_scheduler.ckpt_",
    ),
    Group.RATE: (
        "lr_scheduler.", "optimizer.lr", "optimizer.betas", "optimizer._target_", "method",
    ),
    Group.BATCH: ("step_scheduler.global_batch_size",),
    Group.EPOCHS: ("step_scheduler.num_epochs", "step_scheduler.max_steps"),
    Group.REGULARISATION: ("optimizer.weight_decay", "peft.", "dataset.limit"),
}  # fmt: skip


def group_of(key: str) -> Group:
    """Return the place of a key in the guide's order of tuning."""
    return next((g for g, starts in _STARTS.items() if key.startswith(starts)), Group.NUMERICS)


@dataclass(frozen=True, slots=True)
class Draft:
    """An unfinished Plan: edits for the next run, edits that wait for a later one, dropped
    edits."""

    now: tuple[Edit, ...]
    later: tuple[Edit, ...]
    dropped: tuple[Edit, ...]
    taken: frozenset[str]  # keys that Findings move, now or later


def make_plan(
    findings: Sequence[Finding], config: Config, run: Run, one_group: bool = True
) -> Plan:
    """Return the Plan that the findings ask for, in the guide's order of tuning."""
    target = Target(config, run)
    proposals = propose(findings, target)
    merged = merge(proposals, lambda edit: _resolve(edit, target))
    draft = choose(merged, findings, target, one_group)
    draft = complete(draft, target)
    return write(draft, target)


def propose(findings: Sequence[Finding], target: Target) -> list[Proposal]:
    """Return every Edit of every Finding, moved to the key that decides in this trainer."""
    return [
        Proposal(
            deciding(edit if edit.because else replace(edit, because=(finding.code,)), target),
            finding.severity,
            finding.confidence,
        )
        for finding in findings
        for edit in finding.edits
    ]


def choose(merged: Merged, findings: Sequence[Finding], target: Target, one_group: bool) -> Draft:
    """Split into edits for the next run and edits that wait, so that an effect has one known
    cause."""
    ready, mild = _set_aside_mild(findings, merged.kept)
    ready, unknown, waits = _lead(ready, findings) if one_group else (ready, [], [])
    now, later = _group(ready, [*mild, *waits], one_group, target)
    taken = frozenset(p.edit.key for p in merged.kept if p.edit.applies != "advice")
    return Draft((*now, *unknown), tuple(later), tuple(merged.dropped), taken)


def complete(draft: Draft, target: Target) -> Draft:
    """Add edits that must come along with those of the next run, in the guide's order."""
    extra, held_back = _add_coupled(draft.now, draft.taken, target)
    now = tuple(_order([*draft.now, *extra]))
    return replace(draft, now=now, dropped=(*draft.dropped, *held_back))


def write(draft: Draft, target: Target) -> Plan:
    """Return the Plan in the user's own keys and values, with flags and a diff of the file.

    Values are rounded here and nowhere before.
    """
    now = [_round(_name(edit, target)) for edit in draft.now]
    now = _spell([_check(edit, target) for edit in now], target)
    later = tuple(_round(_name(edit, target)) for edit in draft.later)
    plan = Plan(tuple(now), later, tuple(_round(edit) for edit in draft.dropped))
    return _add_diff(plan, target)


def _round(edit: Edit) -> Edit:
    return replace(edit, new=round_off(edit.new)) if edit.new != edit.old else edit


def _set_aside_mild(
    findings: Sequence[Finding], kept: Sequence[Proposal]
) -> tuple[list[Proposal], list[Edit]]:
    """Set the edits of mild findings aside while no edit answers an error: they are not its fix."""
    answered = {code for p in kept if p.edit.applies != "advice" for code in p.edit.because}
    if all(f.code in answered for f in findings if f.severity == "error"):
        return list(kept), []
    mild = [p for p in kept if p.severity == "info" and p.edit.applies != "advice"]
    return [p for p in kept if p not in mild], [p.edit for p in mild]


def _lead(
    kept: Sequence[Proposal], findings: Sequence[Finding]
) -> tuple[list[Proposal], list[Edit], list[Edit]]:
    """Make edits for lesser causes wait for the edit for a finding's likeliest cause.

    Numerics go before the learning rate, unless the rate is the first suspect. Returns the
    remaining edits, those that lead but have no known value (so that nothing waits for them), and
    those that wait.
    """
    leads: dict[str, tuple[str, ...]] = {}
    unknown: list[Edit] = []
    for finding in findings:
        keys = CURES.get(finding.causes[0][0], ()) if finding.causes else ()
        own = [p.edit for p in kept if finding.code in p.edit.because]
        first = [e for e in own if e.key in keys and e.applies == "review"]
        unknown += [e for e in first if not e.resolved and e not in unknown]
        if any(e.resolved and group_of(e.key) > Group.NUMERICS for e in first):
            leads[finding.code] = keys
    waits = [
        p.edit
        for p in kept
        if p.edit.applies == "review"
        and group_of(p.edit.key) == Group.NUMERICS
        and all(code in leads and p.edit.key not in leads[code] for code in p.edit.because)
    ]
    return [p for p in kept if p.edit not in (*waits, *unknown)], unknown, waits


def _add_coupled(
    now: Sequence[Edit], taken: frozenset[str], target: Target
) -> tuple[list[Edit], list[Edit]]:
    """Return the coupled edits within their ranges, and those that a range rules out."""
    method = next((e.new for e in now if e.key == coupling.METHOD and e.resolved), None)
    extra = coupling.couple(now, target.full, taken, target.habits, target.steps)
    along = []
    for given in extra:
        edit = replace(given, source=target.old(given.key).source or "config")
        known = cure_range(edit.key, target.view, str(method or ""))
        if known is not None and not isinstance(edit.new, list):
            free = replace(edit, operand=edit.new, low=known.low, high=known.high)
            edit = resolve(free, edit.old)
        along.append(edit)
    moved = [edit for edit in along if not same(edit.old, edit.new)]
    return moved, [edit for edit in along if edit not in moved]


def _resolve(edit: Edit, target: Target) -> Edit:
    old, source, whence = target.old(edit.key)
    edit = replace(edit, source=source)
    if edit.applies == "advice":
        return replace(edit, old=old)
    if edit.key in (coupling.GLOBAL, coupling.LOCAL) and old is None:
        old = plain(target.full.get(edit.key))
        edit = replace(edit, source="" if old is None else "config")
    if edit.key == coupling.WARMUP and edit.op == "multiply" and not old and target.steps:
        edit = _first_warmup(edit, target.steps)
    done = resolve(bound(edit, target.view, old), old)
    if done.resolved and edit.key in (coupling.GLOBAL, coupling.LOCAL) and is_number(done.new):
        values = target.full
        fit, why = coupling.fit_batch(done, values, coupling.GLOBAL in values)
        done = note(replace(done, new=fit), why) if why else done
    return note(done, whence) if whence and done.resolved else done


def _first_warmup(edit: Edit, steps: float) -> Edit:
    """Return the guide's warm-up where there is none to multiply."""
    if not is_number(edit.operand) or number(edit.operand) <= 1:
        return edit
    low, high = warmup_range(steps)
    return replace(edit, op="set", operand=max(1, round((low + high) / 2)))


def _group(
    kept: Sequence[Proposal], later: Sequence[Edit], one_group: bool, target: Target
) -> tuple[list[Edit], list[Edit]]:
    """Split into edits for the next run and edits that wait, so that an effect has one known
    cause."""
    waiting = [
        p for p in kept if p.edit.applies == "review" and group_of(p.edit.key) > Group.MEASURING
    ]
    if not one_group or not waiting:
        return [p.edit for p in kept], _order(later)
    heavy = [p for p in waiting if p.severity != "info"] or waiting
    # Edits that cannot be written (no value, no such key) must not block those that can.
    ready = [p for p in heavy if p.edit.resolved and _has_key(p.edit, target)] or heavy
    first = min(group_of(p.edit.key) for p in ready)
    later = [*later, *(p.edit for p in waiting if group_of(p.edit.key) != first)]
    return [p.edit for p in kept if p.edit not in later], _order(later)


def _has_key(edit: Edit, target: Target) -> bool:
    return _name(edit, target).status != "no_key"


def _order(edits: Sequence[Edit]) -> list[Edit]:
    return sorted(edits, key=lambda e: (e.applies == "advice", group_of(e.key)))


def _name(edit: Edit, target: Target) -> Edit:
    if target.dialect is None:
        return edit  # printed in words: the trainer's name for it is unknown
    native = target.dialect.native_path(edit.key, target.tree)
    if native or edit.applies == "advice":
        return replace(edit, native_key=native)
    if edit.key == coupling.METHOD and target.habits.adapter_section:
        return replace(edit, native_key=target.habits.adapter_section)
    elsewhere = target.dialect.native_path(edit.key, {})
    if elsewhere:
        return note(replace(edit, native_key=elsewhere), "not in this file: set it in the script")
    return note(edit, f"no such key in {target.name}", "no_key")


def _check(edit: Edit, target: Target) -> Edit:
    """Mark an Edit whose value the file no longer holds, or never held."""
    if not edit.resolved or edit.applies == "advice":
        return edit
    found = check_held(edit, target.held)
    return note(edit, found[1], found[0]) if found else edit


def check_held(edit: Edit, held: Mapping[str, object]) -> tuple[EditStatus, str] | None:
    """Return why an Edit must not overwrite what a file holds now; None where it may."""
    if edit.key not in held:
        return None
    value = held[edit.key]
    if isinstance(value, str) and (_VARIABLE.search(value) or is_number(edit.new)):
        return "held_elsewhere", f"the file takes it from {value}: change that, or give the flag"
    if same(value, edit.new):
        return "already_changed", "already changed"
    if same(value, edit.old, 0.05 if edit.source == "log" else 1e-6):
        return None
    if is_number(value) and is_number(edit.old) and is_number(edit.new):
        moved, wanted = number(value) - number(edit.old), number(edit.new) - number(edit.old)
        if moved * wanted > 0:
            return "already_changed", "already changed"
    return "file_differs", f"the file holds {value}, the run had {edit.old}"


def _spell(edits: Sequence[Edit], target: Target) -> list[Edit]:
    """Return the edits with their values as the user's config spells them."""
    dialect = target.dialect
    if dialect is None:
        return [replace(e, native_old=e.old, native_new=e.new) for e in edits]
    ready = [edit for edit in edits if edit.resolved and edit.applies != "advice"]
    before = dialect.changes([replace(e, new=e.old) for e in ready], target.values, target.tree)
    after = dialect.changes(ready, target.values, target.tree)
    old, new = ({".".join(c.path): c.value for c in changes} for changes in (before, after))
    found = []
    for edit in edits:
        there = trees.dig(target.tree, edit.native_key)
        native = old.get(edit.native_key, edit.old if there is None else there)
        if edit in ready and edit.native_key in new:
            edit = replace(edit, native_old=plain(native), native_new=plain(new[edit.native_key]))
        else:
            edit = replace(edit, native_old=edit.old, native_new=edit.new)
        found.append(edit)
    return found


def is_takeable(edit: Edit) -> bool:
    """Return whether the next run can use an Edit, by file or by flag."""
    return edit.resolved and edit.applies != "advice" and edit.status != "already_changed"


def is_writable(edit: Edit) -> bool:
    """Return whether an Edit of a Plan can be written into a file."""
    return is_takeable(edit) and edit.status not in ("held_elsewhere", "file_differs")


def _add_diff(plan: Plan, target: Target) -> Plan:
    taken = [edit for edit in plan.edits if is_takeable(edit)]
    if target.dialect is None or not taken:
        return plan
    plan = replace(
        plan, overrides=tuple(target.dialect.overrides(taken, target.values, target.tree))
    )
    edits = [edit for edit in taken if is_writable(edit)]
    if not target.config.path or not edits:
        return plan
    path = Path(target.config.path)
    try:
        if target.problem:
            raise ConfigError(target.problem)
        new = target.dialect.write(target.text, path, edits, target.values, target.tree)
    except (EditError, ConfigError) as error:
        said = tuple(note(e, f"no diff: {error}") if e in edits else e for e in plan.edits)
        return replace(plan, edits=said)
    return replace(plan, diff=unified_diff(target.text, new, path))


def unified_diff(old: str, new: str, path: Path) -> str | None:
    """Return the unified diff of two texts of one file, secrets hidden; None where equal."""
    if old == new:
        return None
    lines: list[str] = []
    for line in difflib.unified_diff(
        old.splitlines(keepends=True),
        new.splitlines(keepends=True),
        f"a/{path.name}",
        f"b/{path.name}",
    ):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return redact_text("".join(lines))


def plan_snippet(plan: Plan, config: Config, run: Run) -> str:
    """Return the Plan as text to paste (keyword arguments, YAML) where no file can be written."""
    target = Target(config, run)
    edits = [edit for edit in plan.edits if is_takeable(edit)]
    if target.dialect is None or not edits:
        return ""
    return target.dialect.snippet(edits, target.values)
