"""Edits that follow from others: the guide says which settings move together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from advisor.base.numbers import is_number, number
from advisor.config.ranges import warmup_range
from advisor.dialects.habits import Habits
from advisor.findings import Edit
from advisor.plan.edits import LEAP, Value

LR, METHOD = "optimizer.lr", "method"
MIN_LR = "lr_scheduler.min_lr"
WARMUP = "lr_scheduler.lr_warmup_steps"
GLOBAL, LOCAL = "step_scheduler.global_batch_size", "step_scheduler.local_batch_size"
ACCUMULATION = "step_scheduler.grad_acc_steps"
EPOCHS, STEPS = "step_scheduler.num_epochs", "step_scheduler.max_steps"
DECAY_STEPS = "lr_scheduler.lr_decay_steps"
RANK, ALPHA = "peft.dim", "peft.alpha"


def couple(
    edits: Sequence[Edit],
    values: Mapping[str, object],
    taken: frozenset[str],
    habits: Habits,
    total: float | None,
) -> list[Edit]:
    """Return the edits that follow from the given ones; keys in ``taken`` have edits of their
    own."""
    found: list[Edit] = []
    for edit in edits:
        if not edit.resolved or edit.applies == "advice":
            continue
        found += _with_batch(edit, values)
        found += _with_local(edit, values, taken, habits)
        found += _with_method(edit, values)
        found += _with_length(edit, values, total)
        found += _with_rank(edit, values)
    done = {edit.key: edit for edit in reversed(found) if edit.key not in taken}
    lr = next((e for e in edits if e.key == LR and e.resolved), done.get(LR))
    if lr is not None and MIN_LR not in taken:
        done |= {edit.key: edit for edit in _with_lr(lr, values)}
    return list(done.values())


def derive(cause: Edit, key: str, old: Value, new: Value, why: str) -> Edit:
    """Return a resolved Edit that follows from another."""
    note = f"comes along: {why}"
    return Edit(
        key, "set", new if not isinstance(new, list) else None, cause.applies,
        because=cause.because, old=old, new=new, resolved=True, status="resolved", note=note,
    )  # fmt: skip


def ratio(edit: Edit) -> float | None:
    """Return the factor by which an Edit changes its value; None where there is none."""
    if is_number(edit.old) and is_number(edit.new) and number(edit.old) > 0:
        return number(edit.new) / number(edit.old)
    return None


def _digits(value: float) -> float:
    return float(f"{value:.2g}")


def _with_batch(edit: Edit, values: Mapping[str, object]) -> list[Edit]:
    factor, lr = ratio(edit), values.get(LR)
    if edit.key != GLOBAL or factor is None or not is_number(lr):
        return []
    root = min(math.sqrt(factor), LEAP)
    new = _digits(number(lr) * root)
    why = f"the rate moves with the root of the batch, by {root:.2g}"
    return [derive(edit, LR, number(lr), new, why)]


def _with_local(
    edit: Edit, values: Mapping[str, object], taken: frozenset[str], habits: Habits
) -> list[Edit]:
    whole, parallel = values.get(GLOBAL), values.get("data.parallel", 1)
    if edit.key != LOCAL or habits.global_batch != "product" or GLOBAL in taken:
        return []
    if not isinstance(whole, int) or not isinstance(parallel, int) or not is_number(edit.new):
        return []
    steps = max(1, round(whole / (number(edit.new) * parallel)))
    old = values.get(ACCUMULATION, 1)
    return [
        derive(edit, ACCUMULATION, int(number(old)), steps, f"the global batch stays at {whole}")
    ]


def _with_method(edit: Edit, values: Mapping[str, object]) -> list[Edit]:
    lr = values.get(LR)
    if edit.key != METHOD or not is_number(lr) or (edit.old == "full") == (edit.new == "full"):
        return []
    factor = 10.0 if edit.old == "full" else 0.1
    why = "an adapter takes about ten times the rate of full fine-tuning"
    return [derive(edit, LR, number(lr), _digits(number(lr) * factor), why)]


def _with_length(edit: Edit, values: Mapping[str, object], total: float | None) -> list[Edit]:
    """Return the edits that scale settings counted in steps with the length of the run."""
    factor, steps = ratio(edit), values.get(STEPS)
    if factor is None or edit.key not in (EPOCHS, STEPS, GLOBAL):
        return []
    capped = isinstance(steps, int) and steps > 0
    found = []
    if edit.key == EPOCHS and isinstance(steps, int) and capped:
        new = max(1, round(steps * factor))
        found.append(derive(edit, STEPS, steps, new, "max_steps would end the run first"))
    if edit.key == GLOBAL:
        if capped:
            return []  # max_steps sets the length of the run, whatever the batch
        factor = 1 / factor
    decay = values.get(DECAY_STEPS)
    if isinstance(decay, int) and decay > 1:
        new = max(1, round(decay * factor))
        found.append(derive(edit, DECAY_STEPS, decay, new, "the rate's decay ends with the run"))
    warmup = values.get(WARMUP)
    if factor < 1 and isinstance(warmup, int) and warmup > 1 and total:
        low, high = warmup_range(total * factor)
        new = int(min(warmup, max(1.0, low, min(high, warmup * factor))))
        if new < warmup:
            found.append(derive(edit, WARMUP, warmup, new, "fewer steps want a shorter warmup"))
    return found


def _with_rank(edit: Edit, values: Mapping[str, object]) -> list[Edit]:
    factor, alpha = ratio(edit), values.get(ALPHA)
    if edit.key != RANK or factor is None or not is_number(alpha) or values.get("peft.use_rslora"):
        return []
    new = max(1, round(number(alpha) * factor))
    return [derive(edit, ALPHA, int(number(alpha)), new, "alpha / rank stays what it was")]


def _with_lr(edit: Edit, values: Mapping[str, object]) -> list[Edit]:
    floor = values.get(MIN_LR)
    if not is_number(floor) or not is_number(edit.new) or number(floor) <= 0:
        return []
    if number(floor) < number(edit.new) / 2:
        return []
    new = _digits(number(edit.new) / 10)
    return [derive(edit, MIN_LR, number(floor), new, "the schedule's floor stays below its peak")]


def fit_batch(edit: Edit, values: Mapping[str, object], known: bool) -> tuple[Value, str]:
    """Return the nearest batch that divides evenly, and a note if it differs from the wanted
    one."""
    parallel = values.get("data.parallel", 1)
    parallel = parallel if isinstance(parallel, int) and parallel > 0 else 1
    local, whole = values.get(LOCAL), values.get(GLOBAL)
    wanted = int(number(edit.new))
    if edit.key == GLOBAL and isinstance(local, int) and local > 0:
        unit = local * parallel
        new = max(1, math.floor(wanted / unit + 0.5)) * unit
        return new, "" if new == wanted else f"a multiple of {local} x {parallel}"
    if edit.key == LOCAL and isinstance(whole, int) and known:
        share = max(1, whole // parallel)
        new = next(size for size in range(min(wanted, share), 0, -1) if share % size == 0)
        old = number(edit.old)
        if (new < old) != (wanted < old):
            return int(old), "no other size divides the global batch"
        return new, "" if new == wanted else f"divides the global batch of {whole}"
    return edit.new, ""
