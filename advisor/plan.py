"""From Findings to the Plan: the consistent, ordered Edits that the next run takes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from advisor import coupling
from advisor.edits import Proposal, is_number, merge, note, number, resolve, same
from advisor.errors import ConfigError, EditError
from advisor.findings import Edit, Finding, Plan
from advisor.ranges import range_for, warmup_range
from advisor.redact import redact_text
from advisor.run import Config, Run
from advisor.target import Target, plain

CHANGED = "already changed"
GROUPS = ("measuring", "numerics and memory", "learning rate", "batch", "epochs", "regularisation")
_GROUP_OF = (
    (("validation", "checkpoint.", "logging.", "step_scheduler.val_", "step_scheduler.ckpt_"), 0),
    (("lr_scheduler.", "optimizer.lr", "optimizer.betas", "optimizer._target_", "method"), 2),
    (("step_scheduler.global_batch_size",), 3),
    (("step_scheduler.num_epochs", "step_scheduler.max_steps"), 4),
    (("optimizer.weight_decay", "peft.", "dataset.limit"), 5),
)


def group_of(key: str) -> int:
    """Return the place of a key in the guide's order of tuning (an index into GROUPS)."""
    return next((group for starts, group in _GROUP_OF if key.startswith(starts)), 1)


def make_plan(
    findings: Sequence[Finding], config: Config, run: Run, one_group: bool = True
) -> Plan:
    """Return the Plan that the findings ask for, in the guide's order of tuning."""
    target = Target(config, run)
    proposals = [
        Proposal(
            edit if edit.because else replace(edit, because=(finding.code,)),
            finding.severity,
            finding.confidence,
        )
        for finding in findings
        for edit in finding.edits
    ]
    kept, dropped = merge(proposals, lambda edit: _resolved(edit, target))
    now, later = _grouped(kept, one_group)
    taken = frozenset(p.edit.key for p in kept if p.edit.applies != "advice")
    extra = coupling.coupled(now, target.full, taken, target.name, target.steps)
    edits = [_named(edit, target) for edit in _ordered([*now, *extra])]
    edits = [_checked(edit, target) for edit in edits]
    plan = Plan(tuple(edits), tuple(_named(e, target) for e in later), tuple(dropped))
    return _written(plan, target)


def _resolved(edit: Edit, target: Target) -> Edit:
    if edit.applies == "advice":
        return replace(edit, old=target.old(edit.key)[0])
    old, whence = target.old(edit.key)
    if edit.key in (coupling.GLOBAL, coupling.LOCAL) and old is None:
        old = plain(target.full.get(edit.key))
    if edit.key == coupling.WARMUP and edit.op == "multiply" and not old and target.steps:
        edit = _first_warmup(edit, target.steps)
    done = resolve(_within_range(edit, target), old)
    if done.resolved and edit.key in (coupling.GLOBAL, coupling.LOCAL) and is_number(done.new):
        values = target.full
        fit, why = coupling.fit_batch(done, values, coupling.GLOBAL in values)
        done = note(replace(done, new=fit), why) if why else done
    return note(done, whence) if whence and done.resolved else done


def _first_warmup(edit: Edit, steps: float) -> Edit:
    """Start from the guide's table where there is no warmup to multiply."""
    if not is_number(edit.operand) or number(edit.operand) <= 1:
        return edit
    low, high = warmup_range(steps)
    return replace(edit, op="set", operand=max(1, round((low + high) / 2)))


def _within_range(edit: Edit, target: Target) -> Edit:
    """Bound a relative Edit by the recommended range for the method and the data size."""
    method, samples = target.values.get("method"), target.values.get("data.samples")
    if edit.op not in ("multiply", "add") or not isinstance(method, str):
        return edit
    known = range_for(edit.key, method, number(samples) if is_number(samples) else None)
    if known is None or known.per or known.low is None or known.high is None:
        return edit
    low = known.low if edit.low is None else max(edit.low, known.low)
    high = known.high if edit.high is None else min(edit.high, known.high)
    return replace(edit, low=low, high=high) if low <= high else edit


def _grouped(kept: Sequence[Proposal], one_group: bool) -> tuple[list[Edit], list[Edit]]:
    """Split into what the next run takes, and what waits so that a change can be credited."""
    waiting = [p for p in kept if p.edit.applies == "review" and group_of(p.edit.key) > 0]
    if not one_group or not waiting:
        return [p.edit for p in kept], []
    heavy = [p for p in waiting if p.severity != "info"] or waiting
    # A relative edit without its value cannot be taken: it must not hold up one that can.
    ready = [p for p in heavy if p.edit.resolved] or heavy
    first = min(group_of(p.edit.key) for p in ready)
    later = [p.edit for p in waiting if group_of(p.edit.key) != first]
    return [p.edit for p in kept if p.edit not in later], _ordered(later)


def _ordered(edits: Sequence[Edit]) -> list[Edit]:
    return sorted(edits, key=lambda e: (e.applies == "advice", group_of(e.key)))


def _named(edit: Edit, target: Target) -> Edit:
    if target.dialect is None:
        return edit if edit.native_key else replace(edit, native_key=edit.key)
    native = target.dialect.native_path(edit.key, target.tree)
    if native or edit.applies == "advice":
        return replace(edit, native_key=native)
    if edit.key == "method" and target.name == "automodel":
        return replace(edit, native_key="peft")
    elsewhere = target.dialect.native_path(edit.key, {})
    if elsewhere:
        return note(replace(edit, native_key=elsewhere), "not in this file: set it in the script")
    return note(edit, f"no such key in {target.name}")


def _checked(edit: Edit, target: Target) -> Edit:
    """Mark an Edit whose value the file no longer holds: it was changed since the run."""
    if not edit.resolved or edit.applies == "advice" or edit.key not in target.held:
        return edit
    held = target.held[edit.key]
    from_log = edit.key == coupling.LR and "inferred from the log" in edit.note
    if same(held, edit.old, 0.05 if from_log else 1e-6):
        return edit
    return note(edit, CHANGED)


def is_writable(edit: Edit) -> bool:
    """Say whether an Edit of a Plan is to be written at all."""
    return edit.resolved and edit.applies != "advice" and CHANGED not in edit.note


def _written(plan: Plan, target: Target) -> Plan:
    edits = [edit for edit in plan.edits if is_writable(edit)]
    if target.dialect is None or not edits:
        flags = [part for e in edits for part in (f"--{e.key}", str(e.new))]
        return replace(plan, overrides=tuple(flags))
    overrides = tuple(target.dialect.overrides(edits, target.values))
    if not target.config.path:
        return replace(plan, overrides=overrides)
    path = Path(target.config.path)
    try:
        new = target.dialect.write(target.text, path, edits, target.tree)
    except (EditError, ConfigError) as error:
        said = tuple(note(e, f"no diff: {error}") if e in edits else e for e in plan.edits)
        return replace(plan, edits=said, overrides=overrides)
    return replace(plan, overrides=overrides, diff=unified(target.text, new, path))


def unified(old: str, new: str, path: Path) -> str | None:
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
    edits = [edit for edit in plan.edits if is_writable(edit)]
    if target.dialect is None or not edits:
        return ""
    return target.dialect.snippet(edits, target.values)
