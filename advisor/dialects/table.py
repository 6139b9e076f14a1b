"""A dialect as a table: each canonical key has its names in the trainer's YAML or JSON.

A trainer that needs no more is one TableDialect; a subclass overrides what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from advisor.dialects.change import KeyChange
from advisor.dialects.document import rewrite
from advisor.dialects.habits import UNKNOWN, Habits
from advisor.dialects.keys import KINDS, coerce
from advisor.dialects.marks import bears
from advisor.dialects.scalars import scalar
from advisor.dialects.tree import dig, has
from advisor.findings import Edit

Tree = Mapping[str, object]


@dataclass(frozen=True)
class TableDialect:
    """One trainer's config language.

    ``table`` gives each canonical key its names as dotted paths, the usual one first; a key without
    a name cannot be written. ``marks`` (see marks.py) identify the trainer's files, and
    ``defaults`` hold the trainer's values for missing keys.
    """

    NAME: str
    table: Mapping[str, tuple[str, ...]]
    marks: tuple[str, ...]
    HABITS: Habits = UNKNOWN
    defaults: Mapping[str, object] = field(default_factory=dict)

    @property
    def KEYS(self) -> Mapping[str, tuple[str, ...]]:
        return {key: self.table.get(key, ()) for key in KINDS}

    @property
    def ROOTS(self) -> set[str]:
        """The top-level names that are read."""
        return {name.split(".")[0] for names in self.table.values() for name in names}

    def sniff(self, tree: Tree) -> bool:
        """Return whether a parsed file is in this language."""
        return bears(tree, self.marks)

    def read(self, tree: Tree) -> dict[str, object]:
        """Return the values that the tree sets, under canonical keys."""
        values: dict[str, object] = {}
        for key, names in self.table.items():
            found = (dig(tree, name) for name in names)
            value = next((v for v in found if v is not None and not isinstance(v, Mapping)), None)
            if value is not None:
                values[key] = coerce(key, value)
        return values

    def default_of(self, key: str, tree: Tree) -> object:
        """Return the trainer's default for a key missing in a config, or None."""
        return self.defaults.get(key)

    def default_warmup(self, tree: Tree, steps: float | None) -> tuple[object, str]:
        """Return the default warm-up steps, and a description in words."""
        warmup = self.default_of("lr_scheduler.lr_warmup_steps", tree)
        return warmup, "" if warmup is None else f"the default of {self.NAME}"

    def native_path(self, key: str, tree: Tree) -> str:
        """Return the name under which the tree holds, or would hold, a canonical key."""
        names = self.table.get(key, ())
        return next((name for name in names if has(tree, name)), names[0] if names else "")

    def changes(
        self, edits: Sequence[Edit], values: Mapping[str, object], tree: Tree
    ) -> list[KeyChange]:
        """Return the changes for the edits, at native paths."""
        named = ((edit, self.native_path(edit.key, tree)) for edit in edits)
        return [KeyChange(tuple(n.split(".")), edit.new, edit.key) for edit, n in named if n]

    def write(
        self, text: str, path: Path, edits: Sequence[Edit], values: Mapping[str, object],
        tree: Tree,
    ) -> str:  # fmt: skip
        """Return the config's text with the edits made."""
        return rewrite(text, path, self.changes(edits, values, tree))

    def overrides(
        self, edits: Sequence[Edit], values: Mapping[str, object], tree: Tree
    ) -> list[str]:
        """Return the edits as flags of the trainer's command line: ``--a.b value``."""
        flags: list[str] = []
        for change in self.changes(edits, values, tree):
            value = change.value
            # the trainer parses a list as a Python literal
            text = repr(value) if isinstance(value, (float, list)) else scalar(value)
            flags += ["--" + ".".join(change.path), text]
        return flags

    def snippet(self, edits: Sequence[Edit], values: Mapping[str, object]) -> str:
        """Return the edits as YAML to paste where no file can be written."""
        text = ""
        for change in self.changes(edits, values, {}):
            text = rewrite(text, Path("snippet.yaml"), [change])
        return text
