"""Edits within a config's text: only the changed values differ, byte for byte.

Comments, order, quotes, indentation and anchors stay, because the text is never dumped anew: each
change replaces the span of one value, or adds one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advisor.dialects import tree as trees
from advisor.dialects.change import KeyChange, put, verify
from advisor.dialects.scalars import like, scalar
from advisor.errors import ConfigError, EditError

_PREFIX = re.compile(r"(?:[&!]\S*\s+)*")


def rewrite(text: str, path: Path, changes: Sequence[KeyChange]) -> str:
    """Return the text with the changes made; EditError if the result cannot be verified."""
    if not changes:
        return text
    as_json = trees.is_json(path, text)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    out = text.removeprefix("\ufeff")
    if out.strip():
        trees.parse(out, path)  # report a broken config before any edit
    try:
        for change in changes:
            out = _change(out, change, as_json)
    except ConfigError:
        raise
    except EditError as error:
        raise EditError(f"{path}: {error}") from None
    except Exception as error:
        from ruamel.yaml.error import YAMLError

        if not isinstance(error, (YAMLError, RecursionError)):
            raise
        if not as_json:
            raise EditError(f"{path}: cannot be edited as YAML; change it by hand") from None
        out = _dump_json(text, changes)
    verify(text, out, path, changes)
    return mark + out


def _change(text: str, change: KeyChange, as_json: bool) -> str:
    root = trees.compose(text)
    if root is None:
        return text + _newline(text, len(text)) + _nest(change.path, change.value, "", 2)
    if type(root).__name__ != "MappingNode":
        raise EditError("holds no mapping of keys to values")
    node = root
    dotted = ".".join(change.path)
    path = (dotted,) if _pair(root, dotted) else change.path
    for depth, name in enumerate(path):
        rest = path[depth:]
        pair = _pair(node, name)
        if pair is None:
            return _insert(text, root, node, rest, change.value, as_json)
        key, child = pair
        section = type(child).__name__ == "MappingNode"
        if len(rest) > 1 and section:
            node = child
            continue
        if _is_null(child):
            return _fill(text, root, pair, rest[1:], change.value, as_json)
        if len(rest) > 1:
            raise EditError(f"'{'.'.join(path[: depth + 1])}' is no section")
        return _replace(text, key, child, change.value, as_json)
    raise EditError("no key to change")


def _pair(node: Any, name: str) -> Any:
    """Return a key with its value; the last one of a repeated key counts, as in every loader."""
    return next((pair for pair in reversed(node.value) if pair[0].value == name), None)


def _is_null(node: Any) -> bool:
    plain = type(node).__name__ == "ScalarNode" and not node.style
    return plain and (not node.value or trees.cast(node.value) is None)


def _span(text: str, key: Any, node: Any) -> tuple[int, int]:
    """Return the place of a value's text, without anchor and tag; for an alias that of its name."""
    after = text.find(":", key.end_mark.index) + 1
    if after == 0:
        raise EditError(f"'{key.value}' has no value that could be located")
    if node.start_mark.index < key.end_mark.index:  # an alias: its node is further up
        match = re.compile(r"\s*\*[^\s,\]}]+").match(text, after)
        if match is None:
            raise EditError(f"'{key.value}' cannot be located")
        return match.start() + len(match[0]) - len(match[0].lstrip()), match.end()
    if type(node).__name__ == "ScalarNode" and not node.value and not node.style:
        return after, after
    start = node.start_mark.index
    prefix = _PREFIX.match(text, start)
    return (prefix.end() if prefix else start), node.end_mark.index


def _replace(text: str, key: Any, node: Any, value: object, as_json: bool) -> str:
    start, end = _span(text, key, node)
    if type(node).__name__ == "MappingNode":
        raise EditError(f"'{key.value}' is a section, not a value")
    if type(node).__name__ == "SequenceNode" and not node.flow_style and start > 0:
        if not isinstance(value, (list, tuple)) or not value:
            raise EditError(f"'{key.value}' is a list; change it by hand")
        return _replace_items(text, node, list(value))
    tail = ""
    if type(node).__name__ == "ScalarNode" and node.style in ("|", ">"):
        tail = "\n"
    if not tail and _says(text[start:end], value):
        return text  # as the user wrote it
    gap = " " if text[start - 1] in ":," else ""
    new = scalar(value, as_json) if tail else like(text[start:end], value, as_json)
    rest = text[end:] if tail else _comment_kept(text, end, len(gap + new) - (end - start))
    return text[:start] + gap + new + tail + rest


def _comment_kept(text: str, end: int, longer: int) -> str:
    """Return the text after a value, with its comment in the same column if there is room.

    ``longer`` is the number of characters by which the value grew.
    """
    comment = re.compile(r"( +)#").match(text, end)
    if comment is None:
        return text[end:]
    room = len(comment[1]) - longer
    return " " * (room if room > 0 else min(len(comment[1]), 2)) + text[comment.end() - 1 :]


def _says(text: str, value: object) -> bool:
    """Return whether a value's text already means this value."""
    quoted = len(text) > 1 and text[0] in "'\"" and text[0] == text[-1]
    current = trees.cast(text[1:-1] if quoted else text)
    return current == value and isinstance(current, bool) == isinstance(value, bool)


def _replace_items(text: str, node: Any, value: list[object]) -> str:
    """Replace a block list; lines of unchanged items at its head stay as they are."""
    old = [trees.cast(item.value) for item in node.value if type(item).__name__ == "ScalarNode"]
    if len(old) != len(node.value):
        raise EditError("a list of sections is not edited; change it by hand")
    same = 0
    while same < min(len(old), len(value)) and old[same] == value[same]:
        same += 1
    first = text.rfind("\n", 0, node.value[0].start_mark.index) + 1
    indent = text[first : node.value[0].start_mark.index].split("-")[0]
    cut = first if same == 0 else _line_end(text, node.value[same - 1].end_mark.index)
    end = _line_end(text, node.value[-1].end_mark.index)
    lines = [f"{indent}- {scalar(item)}" for item in value[same:]]
    eol = _eol(text)
    joined = eol.join(lines)
    if same == 0:
        return text[:first] + joined + text[end:]
    return text[:cut] + "".join(eol + line for line in lines) + text[end:]


def _fill(
    text: str, root: Any, pair: Any, rest: Sequence[str], value: object, as_json: bool
) -> str:
    """Give an empty (or null) key its value or its section."""
    key, node = pair
    start, end = _span(text, key, node)
    gap = " " if text[start - 1] == ":" else ""
    if not rest:
        return text[:start] + gap + scalar(value, as_json) + text[end:]
    if as_json or root.flow_style:
        return text[:start] + gap + _flow(rest, value, as_json) + text[end:]
    indent = " " * (key.start_mark.column + _indent_of(root))
    line_end = _line_end(text, end)
    comment = text[end:line_end]
    head = text[:start].rstrip(" ") + (f"  {comment.strip()}" if comment.strip() else "")
    nested = _nest(rest, value, indent, _indent_of(root)).rstrip("\n")
    return head + _eol(text) + nested + text[line_end:]


def _insert(
    text: str, root: Any, node: Any, rest: Sequence[str], value: object, as_json: bool
) -> str:
    """Add a key, with the sections it needs, at the end of a mapping."""
    eol = _eol(text)
    if as_json or node.flow_style:
        entry = f"{scalar(rest[0], as_json)}: " + (
            _flow(rest[1:], value, as_json) if len(rest) > 1 else scalar(value, as_json)
        )
        if not node.value:
            start = text.index("{", node.start_mark.index) + 1
            return text[:start] + entry + text[start:]
        key = node.value[-1][0]
        end = _pair_end(text, node.value[-1])
        many_lines = "\n" in text[node.start_mark.index : key.start_mark.index]
        gap = f"{eol}{' ' * key.start_mark.column}" if many_lines else " "
        return text[:end] + "," + gap + entry + text[end:]
    end = _line_end(text, _pair_end(text, node.value[-1]))
    indent = " " * node.value[0][0].start_mark.column
    nested = _nest(rest, value, indent, _indent_of(root)).rstrip("\n")
    nested = nested.replace("\n", eol)
    if end >= len(text):
        return text + eol + nested + eol
    return text[:end] + eol + nested + text[end:]


def _pair_end(text: str, pair: Any) -> int:
    """Return where the text of the last value under a key ends."""
    key, node = pair
    start, end = _span(text, key, node)
    if node.start_mark.index < key.end_mark.index:
        return end
    kind = type(node).__name__
    if kind == "ScalarNode" and node.style in ("|", ">"):
        return start + len(text[start:end].rstrip())
    if kind == "MappingNode" and not node.flow_style and node.value:
        return _pair_end(text, node.value[-1])
    if kind == "SequenceNode" and not node.flow_style and node.value:
        return start + len(re.sub(r"(\s*(#[^\n]*)?\n?)*\Z", "", text[start:end]))
    return end


def _nest(rest: Sequence[str], value: object, indent: str, step: int) -> str:
    lines = []
    for name in rest[:-1]:
        lines.append(f"{indent}{scalar(name)}:")
        indent += " " * step
    lines.append(f"{indent}{scalar(rest[-1])}: {scalar(value)}\n")
    return "\n".join(lines)


def _flow(rest: Sequence[str], value: object, as_json: bool) -> str:
    text = scalar(value, as_json)
    for name in reversed(rest):
        text = "{" + f"{scalar(name, as_json)}: {text}" + "}"
    return text


def _indent_of(root: Any) -> int:
    """Return the file's own indentation step, taken from its first section."""
    for key, node in root.value:
        if type(node).__name__ == "MappingNode" and node.value and not node.flow_style:
            step = int(node.value[0][0].start_mark.column - key.start_mark.column)
            if step > 0:
                return step
    return 2


def _eol(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _newline(text: str, at: int) -> str:
    return "" if at == 0 or text[at - 1] == "\n" else _eol(text)


def _line_end(text: str, at: int) -> int:
    """Return the end of the line (before its line break) that holds ``at``."""
    end = text.find("\n", at)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1] == "\r" else end


def _dump_json(text: str, changes: Sequence[KeyChange]) -> str:
    """Write JSON anew, indented as before, if its text cannot be edited in place (tabs)."""
    data: Any = json.loads(text)
    for change in changes:
        put(data, change.path, change.value)
    match = re.search(r"\n([ \t]+)\S", text)
    indent = match[1] if match else None
    return json.dumps(data, indent=indent) + ("\n" if text.endswith("\n") else "")
