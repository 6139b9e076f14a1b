"""The tree of a config file: every value keeps its text and its place.

Texts stay as they were written, so that ``${VAR}`` and `1e-5` are saved as they came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from advisor.base.redact import is_secret_key, redact_value
from train.config.values import NULLS, cast, expand
from train.errors import TrainConfigError

_BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x7f\x85\u2028\u2029\ufeff"}
_PLAIN = re.compile(r"[-+]?[A-Za-z0-9_./]([A-Za-z0-9_./+\-]| (?=\S))*")


@dataclass(slots=True)
class ConfigScalar:
    """One value as text; ``place`` is file:line, or the flag that set it."""

    text: str
    place: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        return (not self.quoted and self.text in NULLS) or self.text.strip().lower() == "none"


@dataclass(slots=True)
class Items:
    """A list."""

    items: list[Node]
    place: str


@dataclass(slots=True)
class Section:
    """A mapping with text keys."""

    entries: dict[str, Node] = field(default_factory=dict)
    place: str = ""

    def get(self, key: str) -> Node | None:
        """Return the value of a key; None where it is absent or null."""
        node = self.entries.get(key)
        return None if isinstance(node, ConfigScalar) and node.is_null else node

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        return iter(self.entries.items())


Node = ConfigScalar | Items | Section


def expand_scalar(scalar: ConfigScalar, env: Mapping[str, str]) -> str:
    """Return the scalar's text with its variables filled in; an error says where."""
    try:
        return expand(scalar.text, env)
    except TrainConfigError as error:
        raise TrainConfigError(f"{scalar.place}: {error}") from None


def plain(node: Node, env: Mapping[str, str]) -> object:
    """Return the values of a tree as Python values, cast and expanded."""
    if isinstance(node, Section):
        return {key: plain(inner, env) for key, inner in node}
    if isinstance(node, Items):
        return [plain(inner, env) for inner in node.items]
    return None if node.is_null else cast(expand_scalar(node, env))


def values_as_written(node: Node) -> object:
    """Return the values of a tree with ``${VAR}`` as it stands."""
    if isinstance(node, Section):
        return {key: values_as_written(inner) for key, inner in node}
    if isinstance(node, Items):
        return [values_as_written(inner) for inner in node.items]
    return None if node.is_null else cast(node.text)


def to_yaml(section: Section) -> str:
    """Return YAML that reads again as the same tree; credentials are hidden."""
    return "".join(f"{line}\n" for key, node in section for line in _lines(key, node, ""))


def _lines(key: str, node: Node, indent: str, owner: str = "") -> Iterator[str]:
    """Yield the lines of one key; below the name of a credential, ``owner``, all is one."""
    owner = owner or (key if is_secret_key(key) else "")
    name = f"{indent}{_key(key)}:"
    if isinstance(node, ConfigScalar):
        yield f"{name} {_value(owner or key, node)}"
    elif isinstance(node, Items):
        yield f"{name} {_flow(owner or key, node)}"
    elif not node.entries:
        yield f"{name} {{}}"
    else:
        yield name
        for inner, value in node:
            yield from _lines(inner, value, indent + "  ", owner)


def _flow(key: str, node: Node) -> str:
    if isinstance(node, Items):
        return f"[{', '.join(_flow(key, item) for item in node.items)}]"
    if isinstance(node, Section):
        owner = key if is_secret_key(key) else ""
        pairs = (f"{_key(name)}: {_flow(owner or name, value)}" for name, value in node)
        return f"{{{', '.join(pairs)}}}"
    return _value(key, node)


def _quote(text: str) -> str:
    # JSON's quotes are YAML's too, but YAML breaks lines at more characters
    return json.dumps(text, ensure_ascii=False).translate(_BREAKS)


def _key(text: str) -> str:
    return _text(ConfigScalar(text, "", quoted=text in NULLS))


def _value(key: str, scalar: ConfigScalar) -> str:
    return _text(ConfigScalar(str(redact_value(key, scalar.text)), "", scalar.quoted))


def _text(scalar: ConfigScalar) -> str:
    if not scalar.quoted and scalar.text in NULLS:
        return "null"
    plain = not scalar.quoted and _PLAIN.fullmatch(scalar.text)
    return scalar.text if plain else _quote(scalar.text)
