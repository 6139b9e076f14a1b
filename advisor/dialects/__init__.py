"""Config languages of trainers. A new dialect is one module and one entry in DIALECTS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from advisor.dialects import generic, transformers
from advisor.dialects.automodel import AUTOMODEL
from advisor.dialects.change import KeyChange
from advisor.dialects.front_ends import FRONT_ENDS
from advisor.dialects.habits import UNKNOWN, Habits
from advisor.dialects.marks import roots
from advisor.dialects.strangers import STRANGERS
from advisor.findings import Edit


class Dialect(Protocol):
    """What every dialect offers, as a module of this package or as a TableDialect."""

    @property
    def NAME(self) -> str: ...
    @property
    def HABITS(self) -> Habits: ...
    @property
    def KEYS(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def ROOTS(self) -> set[str]: ...

    def sniff(self, tree: Mapping[str, object]) -> bool: ...
    def read(self, tree: Mapping[str, object]) -> dict[str, object]: ...
    def default_of(self, key: str, tree: Mapping[str, object]) -> object: ...
    def default_warmup(
        self, tree: Mapping[str, object], steps: float | None
    ) -> tuple[object, str]: ...
    def native_path(self, key: str, tree: Mapping[str, object]) -> str: ...
    def changes(
        self, edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
    ) -> list[KeyChange]: ...
    def write(
        self,
        text: str,
        path: Path,
        edits: Sequence[Edit],
        values: Mapping[str, object],
        tree: Mapping[str, object],
    ) -> str: ...
    def overrides(
        self, edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
    ) -> list[str]: ...
    def snippet(self, edits: Sequence[Edit], values: Mapping[str, object]) -> str: ...


def _as_dialect(module: ModuleType) -> Dialect:
    return cast(Dialect, module)


DIALECTS: tuple[Dialect, ...] = (AUTOMODEL, _as_dialect(transformers))

# The dialect in which peft saves an adapter, whatever the trainer.
ADAPTER_FORM = transformers.NAME
# Top-level names that any dialect reads; the rest of a tracker's large record is skipped.
ROOTS: frozenset[str] = frozenset().union(
    *(dialect.ROOTS for dialect in DIALECTS),
    (name.split(".")[0] for d in DIALECTS for names in d.KEYS.values() for name in names),
    (name for names in generic.KEYS.values() for name in names),
    (root for _, marks in STRANGERS for root in roots(marks)),
    (root for front in FRONT_ENDS for root in roots(front.marks)),
    ("<<", "cfg", "config", "args", "hparams"),
)


def dialect_of(name: str) -> Dialect | None:
    """Return the dialect of a name; None for a config of an unknown trainer."""
    return next((dialect for dialect in DIALECTS if name == dialect.NAME), None)


def habits_of(name: str) -> Habits:
    """Return what is known about a trainer, by the name of its dialect or log format."""
    dialect = dialect_of(name)
    return dialect.HABITS if dialect else UNKNOWN


def default_of(name: str, key: str, tree: Mapping[str, object] | None = None) -> object:
    """Return what a trainer uses for a key that a config leaves out, or None.

    The tree says which front end of the trainer it is, where their defaults differ.
    """
    dialect = dialect_of(name)
    return dialect.default_of(key, tree or {}) if dialect else None


def sniff(tree: Mapping[str, object]) -> Dialect | None:
    """Return the dialect in which a tree is written, None where it is no such config."""
    return next((dialect for dialect in DIALECTS if dialect.sniff(tree)), None)
