"""A value to write into a config, and the check that it was written and nothing else changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.dialects import tree as trees
from advisor.errors import EditError

_ANCHOR = re.compile(r"[:\-,\[]\s*[*&]\w|<<")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A value to write at a native path; ``key`` is the canonical key that it serves."""

    path: tuple[str, ...]
    value: object
    key: str = ""


def verify(old: str, new: str, path: Path, changes: Sequence[KeyChange]) -> None:
    """Raise EditError unless the text now holds the changes and nothing else differs."""
    found = trees.parse(new, path)
    for change in changes:
        at: Any = trees.dig(found, ".".join(change.path))
        wanted = list(change.value) if isinstance(change.value, tuple) else change.value
        if at != wanted and not (isinstance(at, str) and trees.cast(at) == wanted):
            raise EditError(f"{path}: '{'.'.join(change.path)}' cannot be written; do it by hand")
    if not old.strip():
        return
    expected: Any = trees.parse(old, path)
    for change in changes:
        put(expected, change.path, trees.dig(found, ".".join(change.path)))
    written = [trees.dig(found, ".".join(change.path)) for change in changes]
    for stray in _strays(expected, found, set()):
        # the value of an anchor changes wherever it has an alias
        if not (_ANCHOR.search(old) and stray in written):
            raise EditError(f"{path}: cannot be edited without changing other keys; do it by hand")


def _strays(expected: object, found: object, seen: set[tuple[int, int]]) -> Iterator[object]:
    """Yield the values that differ from the expected ones; shared parts are visited once."""
    if _is_part(expected) and type(expected) is type(found):
        if (id(expected), id(found)) in seen:
            return
        seen.add((id(expected), id(found)))
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for name in expected:
            yield from _strays(expected[name], found[name], seen)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for left, right in zip(expected, found, strict=True):
            yield from _strays(left, right, seen)
    elif _is_part(expected) or _is_part(found) or repr(expected) != repr(found):
        yield found


def _is_part(value: object) -> bool:
    return isinstance(value, (dict, list))


def put(tree: Any, path: Sequence[str], value: object) -> None:
    """Set the value at a path of a tree, and create missing sections."""
    if ".".join(path) in tree:
        path = (".".join(path),)
    for name in path[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[path[-1]] = list(value) if isinstance(value, tuple) else value
