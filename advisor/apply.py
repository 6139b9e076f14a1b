"""Writing a Plan into a config file: atomic, never over another file, never twice."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from advisor.configs import BEFORE
from advisor.dialects import dialect_of, sniff
from advisor.dialects import tree as trees
from advisor.edits import same
from advisor.errors import EditError
from advisor.findings import Edit, Plan
from advisor.plan import CHANGED
from advisor.run import Config


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one Edit: written, or why not."""

    edit: Edit
    written: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a Plan was written (None: nothing was), what the text is, and each Edit's fate."""

    path: Path | None
    old: str
    new: str
    applied: tuple[Applied, ...]


def default_output(path: Path) -> Path:
    """Return the file that takes the edits when none is named: ``config.next.yaml``."""
    return path.with_name(f"{path.name.removesuffix(path.suffix)}.next{path.suffix}")


def apply_edits(
    path: Path,
    plan: Plan,
    config: Config,
    out: Path | None = None,
    in_place: bool = False,
    include: Collection[str] = ("safe", "review"),
) -> Outcome:
    """Write the Plan's edits of the kinds in ``include`` and say what was done with each."""
    raw = _read_exact(path)
    tree = trees.parse(raw, path) if raw.strip() else {}
    dialect = dialect_of(config.dialect) or sniff(tree)
    if dialect is None:
        raise EditError(f"{path}: in no config language that we can write")
    held = dialect.read(tree)
    fates = [_judge(edit, held, config, include) for edit in plan.edits]
    for at, fate in enumerate(fates):
        if fate.written and not dialect.changes([fate.edit], held, tree):
            fates[at] = Applied(fate.edit, False, fate.edit.note or "no such key in this file")
    edits = [fate.edit for fate in fates if fate.written]
    if not edits:
        return Outcome(None, raw, raw, tuple(fates))
    new = dialect.write(raw, path, edits, tree)
    if new == raw:
        return Outcome(None, raw, raw, tuple(fates))
    place = path if in_place else (out or default_output(path))
    if in_place and out is not None:
        raise EditError("-o and --in-place exclude each other; give one of them")
    if in_place:
        _replace(path, raw, new)
    else:
        _create(place, path, new)
    return Outcome(place, raw, new, tuple(fates))


def _read_exact(path: Path) -> str:
    """Return the text with its line ends as they are."""
    trees.read_text(path)  # within bounds, and text
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _judge(
    edit: Edit, held: dict[str, object], config: Config, include: Collection[str]
) -> Applied:
    if edit.applies == "advice":
        return Applied(edit, False, "advice for people")
    if edit.applies not in include:
        return Applied(edit, False, f"{edit.applies}: not asked for")
    if not edit.resolved:
        return Applied(edit, False, "relative: give its value with --set or --config")
    if CHANGED in edit.note or not _still_holds(edit, held, config):
        return Applied(edit, False, CHANGED)
    return Applied(edit, True)


def _still_holds(edit: Edit, held: dict[str, object], config: Config) -> bool:
    if edit.key not in held:
        return True
    value = held[edit.key]
    parallel = config.values.get("data.parallel")
    if edit.key.endswith("global_batch_size") and isinstance(parallel, int):
        stated = held.get("data.parallel", 1)
        if config.dialect == "transformers" and isinstance(value, int) and stated == 1:
            value *= parallel
    tolerance = 0.05 if "inferred from the log" in edit.note else 1e-6
    return same(value, edit.old, tolerance) and not same(value, edit.new)


def _replace(path: Path, old: str, new: str) -> None:
    """Replace the file a link points to, and keep beside it what the run was trained with."""
    real = path.resolve()
    _atomic(real.with_name(real.name + BEFORE), real, old)
    _atomic(real, real, new)


def _create(place: Path, like: Path, new: str) -> None:
    if place.is_symlink() or place.exists():
        if place.is_file() and not place.is_symlink() and _equals(place, new):
            return  # the same plan was written here before
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
    """Write beside and move into place, so that no half-written config is ever seen."""
    try:
        mode = stat.S_IMODE(like.stat().st_mode)
        handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    except OSError as error:
        raise EditError(f"{place}: cannot be written ({error.strerror})") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        if fresh:
            os.link(temporary, place)  # fails where a file appeared meanwhile
            temporary.unlink()
        else:
            temporary.replace(place)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EditError(f"{place}: cannot be written ({error.strerror})") from None
