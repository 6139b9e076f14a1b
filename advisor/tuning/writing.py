"""From the values of a Proposal to a config in the user's own dialect, written over the start's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.base.numbers import same
from advisor.compare.differences import leaves
from advisor.dialects import DIALECTS, Dialect, dialect_of, sniff
from advisor.dialects import tree as trees
from advisor.errors import ConfigError, EditError
from advisor.findings import Edit
from advisor.plan.make import group_of, unified_diff
from advisor.plan.target import plain
from advisor.run import Config
from advisor.tuning.trial import TrialChange


@dataclass(frozen=True, slots=True)
class Start:
    """The config that a session starts from: the user's, with ``--set`` applied."""

    path: Path  # the user's file; never written
    text: str
    config: Config

    @property
    def tree(self) -> dict[str, object]:
        """The config as nested mappings, under the user's own keys."""
        return trees.parse(self.text.removeprefix("\ufeff"), self.path)

    @property
    def dialect(self) -> Dialect:
        """The config's dialect; ConfigError where it is none that we can write."""
        found = dialect_of(self.config.dialect)
        if found is None:
            raise ConfigError(f"{self.path}: not in a config language that we can write")
        return found


def read_start(path: Path, text: str | None = None) -> Start:
    """Read the config that a session starts from; ``text`` replaces the file's contents.

    ConfigError where it is empty, not a known training config, or cannot be read.
    """
    if text is None:
        text = trees.read_text(path)
    if not text.strip():
        raise ConfigError(f"{path}: is empty")
    tree = trees.parse(text.removeprefix("\ufeff"), path)
    dialect = sniff(tree)
    if dialect is None:
        known = " or ".join(each.NAME for each in DIALECTS)
        raise ConfigError(f"{path}: not a config of a known trainer ({known}); give another file")
    values = dialect.read(tree)
    config = Config(values, dict.fromkeys(values, path.name), dialect.NAME, str(path))
    return Start(path, text, config)


def changes_between(
    old: Mapping[str, object], new: Mapping[str, object]
) -> tuple[TrialChange, ...]:
    """Return the changes from old to new values, in the guide's order of tuning."""
    keys = [key for key in new if not same(old.get(key), new[key])]
    return tuple(
        TrialChange(key, "set", old.get(key), new[key]) for key in sorted(keys, key=_tuning_order)
    )


def _tuning_order(key: str) -> tuple[int, str]:
    return group_of(key), key


def write_values(start: Start, changes: Sequence[TrialChange]) -> tuple[str, str]:
    """Return the start's config text with the changes made, and the unified diff.

    EditError where this config's dialect has no place for a change.
    """
    edits = [_edit(change) for change in changes]
    if not edits:
        return start.text, ""
    tree, dialect = start.tree, start.dialect
    for edit in edits:
        if not dialect.changes([edit], start.config.values, tree):
            raise EditError(f"{start.path}: has no place for {edit.key}")
    text = dialect.write(start.text, start.path, edits, start.config.values, tree)
    return text, unified_diff(start.text, text, start.path) or ""


def _edit(change: TrialChange) -> Edit:
    new = plain(change.new)
    if new is None:
        raise EditError(f"{change.key}: cannot be set to {change.new!r}")
    operand = None if isinstance(new, list) else new
    return Edit(
        change.key, "set", operand, old=plain(change.old), new=new, resolved=True,
        because=change.because,
    )  # fmt: skip


def list_native_changes(
    start: Start, text: str, changes: Sequence[TrialChange]
) -> tuple[TrialChange, ...]:
    """Return the changes from the start to a config's text, under the user's own keys.

    ``changes`` are the same under canonical keys, for where there is no text.
    """
    if not text:
        return tuple(to_native(start, change) for change in changes)
    try:
        old = dict(leaves(start.tree))
        new = dict(leaves(trees.parse(text.removeprefix("\ufeff"), start.path)))
    except ConfigError:
        return tuple(changes)
    keys = [key for key in {**old, **new} if not same(old.get(key), new.get(key))]
    return tuple(TrialChange(key, "set", old.get(key), new.get(key)) for key in keys)


def to_native(start: Start, change: TrialChange) -> TrialChange:
    """Return a change under the user's own key, if the dialect has one for it."""
    dialect = dialect_of(start.config.dialect)
    native = dialect.native_path(change.key, start.tree) if dialect is not None else ""
    return change._replace(key=native or change.key)
