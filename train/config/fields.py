"""Typed fields from nodes: a section's dataclass says which keys it has and of what kind."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from train.config.nearest import unknown_key
from train.config.nodes import ConfigScalar, Items, Node, Section, expand_scalar, plain
from train.config.values import NULLS, cast
from train.errors import TrainConfigError

T = TypeVar("T")
_MOST = 2**63  # what lies beyond is no count of anything
_BOOLS = {"yes": True, "on": True, "no": False, "off": False}
_WANTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What conversion needs besides the node."""

    env: Mapping[str, str]
    notices: list[str]

    def note(self, text: str) -> None:
        """Add a notice for the user, once."""
        if text not in self.notices:
            self.notices.append(text)


def as_section(node: Node | None, path: str) -> Section:
    """Return a section's node; an absent one is empty."""
    if node is None:
        return Section()
    if not isinstance(node, Section):
        raise TrainConfigError(f"{node.place}: {path} is a section; write its keys below it")
    return node


def build(
    kind: type[T],
    section: Section,
    path: str,
    context: Context,
    /,
    *,
    skip: frozenset[str] = frozenset(),
    **given: Any,
) -> T:
    """Return the dataclass of a section; keys are its fields, but for ``skip`` and ``given``.

    Null means that the default holds, as with an absent key, unless the field can be None.
    """
    hints = get_type_hints(kind)
    for key, node in section:
        if key not in hints and key not in skip:
            raise unknown_key(node.place, path, key)
        if key in skip or key in given:
            continue
        value = convert(node, hints[key], f"{path}.{key}", context.env)
        if value is not None or _optional(hints[key]):
            given[key] = value
    return kind(**given)


def convert(node: Node, kind: Any, path: str, env: Mapping[str, str]) -> Any:
    """Return a node's value as ``kind``; None where it is null."""
    if isinstance(node, ConfigScalar):
        text = expand_scalar(node, env)
        if node.is_null or (text in NULLS and not node.quoted) or text.strip().lower() == "none":
            return None
    if _optional(kind):
        kind = next(arg for arg in get_args(kind) if arg is not types.NoneType)
    origin = get_origin(kind)
    if origin is Literal:
        return _choice(node, get_args(kind), path, env)
    if origin is tuple:
        return _texts(node, path, env)
    if origin is not None or kind is object:
        return _mapping(node, path, env)
    return _single(node, kind, path, env)


def _optional(kind: Any) -> bool:
    union = get_origin(kind) in (Union, types.UnionType)
    return union and types.NoneType in get_args(kind)


def _single(node: Node, kind: type, path: str, env: Mapping[str, str]) -> object:
    if not isinstance(node, ConfigScalar):
        raise TrainConfigError(f"{node.place}: {path} is {_WANTED[kind]}, not a section or list")
    text = expand_scalar(node, env)
    value = cast(text)
    if kind is str:
        return value if isinstance(value, str) else text
    if kind is bool:
        value = _BOOLS.get(text.strip().lower(), value)
        value = bool(value) if value in (0, 1) else value
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 10**300 else math.inf
    elif kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    wrong = type(value) is not kind or (kind is int and abs(value) >= _MOST)  # type: ignore[arg-type]
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise TrainConfigError(f"{node.place}: {path} is '{text}', expected {_WANTED[kind]}")
    return value


def _choice(node: Node, choices: tuple[str, ...], path: str, env: Mapping[str, str]) -> str:
    value = str(_single(node, str, path, env))
    for choice in choices:
        if choice.lower() == value.lower().replace("_", "-") or choice.lower() == value.lower():
            return choice
    raise TrainConfigError(f"{node.place}: {path} is '{value}', expected {' or '.join(choices)}")


def _texts(node: Node, path: str, env: Mapping[str, str]) -> tuple[str, ...]:
    items = node.items if isinstance(node, Items) else [node]
    return tuple(str(_single(item, str, path, env)) for item in items)


def _mapping(node: Node, path: str, env: Mapping[str, str]) -> object:
    if not isinstance(node, Section):
        raise TrainConfigError(f"{node.place}: {path} is a section; write its keys below it")
    return plain(node, env)
