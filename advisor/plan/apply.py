"""Writes a Plan into a config file: atomically, never over another file, never twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from advisor.base.atomic import refuse, write_atomic
from advisor.base.numbers import same
from advisor.config.attach import BEFORE
from advisor.dialects import dialect_of, sniff
from advisor.dialects import tree as trees
from advisor.errors import ConfigError, EditError
from advisor.findings import Applied, Edit, Plan, Written
from advisor.plan.make import check_held
from advisor.plan.target import held_values
from advisor.run import Config


def default_output(path: Path) -> Path:
    """Return the file for the edits if none is named: ``config.next.yaml``."""
    return path.with_name(f"{path.name.removesuffix(path.suffix)}.next{path.suffix}")


def preview_edits(
    path: Path, plan: Plan, config: Config, include: Collection[str] = ("safe", "review")
) -> Written:
    """Return what would be written for the Plan's edits of the kinds in ``include``; write
    nothing."""
    raw = _read_exact(path)
    tree = trees.parse(raw.removeprefix("\ufeff"), path) if raw.strip() else {}
    dialect = dialect_of(config.dialect) or sniff(tree)
    if dialect is None:
        raise EditError(f"{path}: in no config language that we can write")
    held = held_values(dialect, tree, config)
    fates = [_judge(edit, held, include) for edit in plan.edits]
    for at, fate in enumerate(fates):
        if fate.written and not dialect.changes([fate.edit], held, tree):
            missing = replace(fate.edit, status="no_key")
            fates[at] = Applied(missing, False, missing.note or "no such key in this file")
    edits = [fate.edit for fate in fates if fate.written]
    new = dialect.write(raw, path, edits, config.values, tree) if edits else raw
    return Written(None, raw, new, tuple(fates))


def apply_edits(
    path: Path,
    plan: Plan,
    config: Config,
    out: Path | None = None,
    in_place: bool = False,
    include: Collection[str] = ("safe", "review"),
) -> Written:
    """Write the Plan's edits of the kinds in ``include`` and return the outcome of each."""
    if in_place and out is not None:
        raise EditError("-o and --in-place exclude each other; give one of them")
    outcome = preview_edits(path, plan, config, include)
    if outcome.new == outcome.old:
        return outcome
    place = path if in_place else (out or default_output(path))
    if in_place:
        _replace(path, outcome, config)
    else:
        _create(place, path, outcome.new)
    return replace(outcome, path=place)


def _read_exact(path: Path) -> str:
    """Return the text with its line ends unchanged."""
    trees.read_text(path)  # raises if it is too large or not text
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


CHANGED = "already changed"


def _judge(edit: Edit, held: Mapping[str, object], include: Collection[str]) -> Applied:
    if edit.applies == "advice":
        return Applied(edit, False, "advice for people")
    if edit.applies not in include:
        return Applied(edit, False, f"{edit.applies}: not asked for")
    if not edit.resolved:
        return Applied(edit, False, "relative: give its value with --set or --config")
    if edit.status == "already_changed":
        return Applied(edit, False, CHANGED)
    found = check_held(edit, held)
    return (
        Applied(replace(edit, status=found[0]), False, found[1]) if found else Applied(edit, True)
    )


def _replace(path: Path, outcome: Written, config: Config) -> None:
    """Replace the file that a link points to, and keep a copy of what the run was trained with."""
    real = path.resolve()
    if not real.is_relative_to(path.parent.resolve()):
        raise EditError(
            f"{path}: is a link to {real}, in another folder; name that file with --config,"
            " or a new one with -o"
        )
    before = real.with_name(real.name + BEFORE)
    kept = _is_trained_with(before, config)
    new = not kept and not before.exists()
    try:
        refuse(real)
        if not kept:
            write_atomic(before, outcome.old, real)
        write_atomic(real, outcome.new, real)
    except OSError as error:
        if new:
            before.unlink(missing_ok=True)  # nothing was changed, so leave no copy
        raise EditError(f"{real}: cannot be written ({error.strerror})") from None


def _is_trained_with(before: Path, config: Config) -> bool:
    """Return whether the earlier copy still holds what the run was trained with."""
    dialect = dialect_of(config.dialect)
    if dialect is None or not before.is_file():
        return False
    try:
        kept = dialect.read(trees.parse(trees.read_text(before), before))
    except ConfigError:
        return False
    name = before.name.removesuffix(BEFORE)
    return all(
        same(kept.get(key), value)
        for key, value in config.values.items()
        if config.origin.get(key) == name
    )


def _create(place: Path, like: Path, new: str) -> None:
    if place.is_symlink() or place.exists():
        if place.is_file() and not place.is_symlink() and _equals(place, new):
            return  # the same plan is already written
        raise EditError(f"{place}: exists already; give another file with -o, or --in-place")
    if not place.parent.is_dir():
        raise EditError(f"{place.parent}: no such folder; create it or give another file with -o")
    _atomic(place, like, new, fresh=True)


def _equals(place: Path, text: str) -> bool:
    try:
        return place.read_bytes() == text.encode("utf-8")
    except OSError:
        return False


def _atomic(place: Path, like: Path, text: str, fresh: bool = False) -> None:
    try:
        write_atomic(place, text, like, fresh)
    except OSError as error:
        raise EditError(f"{place}: cannot be written ({error.strerror})") from None
