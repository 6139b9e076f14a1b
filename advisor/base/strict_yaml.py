"""YAML without its traps: 1e-7 is a number, yes/no/on/off stay text, a repeated key is an error.

Every value keeps its line, so that a checker can name the line of a fault.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DEPTH = 40
_DIGITS = 300  # of an integer; a float holds up to 308

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a file: its line, counted from 1, and what is wrong."""

    line: int
    what: str


@dataclass(slots=True)
class YamlDocument:
    """A parsed file: the data, the line of every path in it, and the faults found."""

    data: object = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # ids of visited nodes, to refuse aliases

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of a path, or of the nearest parent that has one."""
        place = tuple(path)
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def parse_yaml(text: str) -> YamlDocument:
    """Parse one YAML document; faults are collected, not raised."""
    from ruamel.yaml import YAML  # slow to import, and not needed by `check`
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    document = YamlDocument()
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context).split())
        document.faults.append(Fault(mark.line + 1 if mark else 1, f"not YAML: {what}"))
        return document
    except (YAMLError, RecursionError, ValueError) as error:
        document.faults.append(Fault(1, f"not YAML: {' '.join(str(error).split())}"))
        return document
    if root is not None:
        document.data = _value(root, (), document)
    return document


def scalar(text: str) -> bool | int | float | str | None:
    """Return the value of a plain (unquoted) scalar."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < _DIGITS else float(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _value(node: object, path: Path, document: YamlDocument) -> object:
    from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

    line = node.start_mark.line + 1  # type: ignore[attr-defined]
    document.lines[path] = line
    if len(path) > _MAX_DEPTH or id(node) in document.seen:
        document.faults.append(Fault(line, "nested too deep, or an alias: write it out"))
        return None
    document.seen.add(id(node))
    if isinstance(node, MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, SequenceNode):
        return [_value(item, (*path, i), document) for i, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)  # the parser has no fourth kind
    return scalar(node.value) if node.style is None else str(node.value)


def _mapping(node: object, path: Path, document: YamlDocument) -> dict[str, object]:
    from ruamel.yaml.nodes import ScalarNode

    result: dict[str, object] = {}
    for key_node, value_node in node.value:  # type: ignore[attr-defined]
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            document.faults.append(Fault(line, "a key must be plain text"))
            continue
        key = str(key_node.value)
        if key in result:
            document.faults.append(Fault(line, f"'{key}' is given twice"))
            continue
        if node.flow_style and _is_empty(value_node):  # type: ignore[attr-defined]
            document.faults.append(
                Fault(line, f"'{key}' has no value: quote a text that holds a comma")
            )
        result[key] = _value(value_node, (*path, key), document)
        document.lines[(*path, key)] = line
    return result


def _is_empty(node: object) -> bool:
    return getattr(node, "value", None) == "" and getattr(node, "style", None) is None
