"""``--a.b=v``, ``--a.b v`` and bare ``--flag`` change the tree; missing sections are made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from train.config.nodes import ConfigScalar, Items, Node, Section
from train.config.reading import read_text
from train.config.values import cast
from train.errors import TrainConfigError

_FLOW = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)
_KEY = re.compile(r"[A-Za-z_][\w\-]*(\.[\w\-]+)*")


@dataclass(frozen=True, slots=True)
class Override:
    """One change of the command line."""

    path: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return "--" + ".".join(self.path)


def split_overrides(words: Sequence[str]) -> Iterator[Override]:
    """Yield the overrides of a command line; the later one wins."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise TrainConfigError(
                f"'{word}': not expected here; write an override as --section.key value"
            )
        name, equals, text = word[2:].partition("=")
        if not _KEY.fullmatch(name):
            raise TrainConfigError(f"'{word}': not an override; write --section.key value")
        if not equals:
            text = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        yield Override(tuple(name.split(".")), text)


def apply_overrides(root: Section, overrides: Sequence[Override]) -> None:
    """Set each override in the tree."""
    for override in overrides:
        _set(root, override)


def _set(root: Section, override: Override) -> None:
    node: Node = root
    for part in override.path[:-1]:
        node = _step_into(node, part, override)
    _store(node, override.path[-1], _parse(override), override)


def _step_into(node: Node, part: str, override: Override) -> Node:
    inner = _look_up(node, part, override)
    if isinstance(inner, Section | Items):
        return inner
    # A key that held one value, or nothing, becomes a section: the command line wins.
    made = Section(place=override.place)
    _store(node, part, made, override)
    return made


def _look_up(node: Node, part: str, override: Override) -> Node | None:
    if isinstance(node, Section):
        return node.entries.get(part)
    assert isinstance(node, Items)
    return node.items[_index(node, part, override)]


def _store(node: Node, part: str, value: Node, override: Override) -> None:
    if isinstance(node, Section):
        node.entries[part] = value
        return
    assert isinstance(node, Items)
    node.items[_index(node, part, override)] = value


def _index(node: Items, part: str, override: Override) -> int:
    if not part.isdecimal() or int(part[:10]) >= len(node.items):
        raise TrainConfigError(
            f"{override.place}: '{part}' is no place in a list of {len(node.items)};"
            " give the whole list, as [a, b]"
        )
    return int(part)


def _parse(override: Override) -> Node:
    """Return the value's node; a Python or YAML list or mapping becomes one of the tree."""
    text = override.text
    value = cast(text)
    if isinstance(value, list | tuple | dict):
        return _node(value, override.place)
    if isinstance(value, str) and _FLOW.fullmatch(text.strip()):
        try:
            inner = read_text(f"value: {text.strip()}", override.place).entries["value"]
        except TrainConfigError:  # a pattern such as [qv]*: text, not a list
            return ConfigScalar(text, override.place)
        _mark(inner, override.place)
        return inner
    return ConfigScalar(text, override.place)


def _node(value: object, place: str) -> Node:
    if isinstance(value, dict):
        return Section({str(key): _node(inner, place) for key, inner in value.items()}, place)
    if isinstance(value, list | tuple):
        return Items([_node(inner, place) for inner in value], place)
    return ConfigScalar(
        "null" if value is None else str(value), place, quoted=isinstance(value, str)
    )


def _mark(node: Node, place: str) -> None:
    node.place = place
    inner = node.items if isinstance(node, Items) else []
    inner = list(node.entries.values()) if isinstance(node, Section) else inner
    for each in inner:
        _mark(each, place)
