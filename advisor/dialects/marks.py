"""Marks: what the config of one trainer holds and no other does.

A mark is a text of space-separated conditions that must all hold. ``a.b`` means that the path
exists, ``*.name`` that a key of this name exists anywhere, and ``=pattern`` after either that its
value is a text in which the regular expression is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from advisor.dialects import tree as trees

_DEEP = 6  # levels of sections and lists that are searched


def bears(tree: Mapping[str, object], marks: Sequence[str]) -> bool:
    """Return whether a tree has one of the marks."""
    return any(all(_holds(tree, part) for part in mark.split()) for mark in marks)


def roots(marks: Sequence[str]) -> set[str]:
    """Return the top-level names with which the marks begin."""
    paths = (part.partition("=")[0] for mark in marks for part in mark.split())
    return {path.split(".")[0] for path in paths} - {"*"}


def _holds(tree: Mapping[str, object], condition: str) -> bool:
    path, equals, pattern = condition.partition("=")
    if path.startswith("*."):
        found = list(_everywhere(tree, path[2:], _DEEP))
    else:
        found = [trees.dig(tree, path)] if trees.has(tree, path) else []
    if not equals:
        return bool(found)
    return any(isinstance(value, str) and re.search(pattern, value) for value in found)


def _everywhere(part: object, name: str, depth: int) -> Iterator[object]:
    if depth == 0:
        return
    if isinstance(part, Mapping):
        if name in part:
            yield part[name]
        for value in part.values():
            yield from _everywhere(value, name, depth - 1)
    elif isinstance(part, list):
        for value in part[:20]:
            yield from _everywhere(value, name, depth - 1)
