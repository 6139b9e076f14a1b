"""A YAML file becomes a tree, safely: no tags of Python, no key twice, no endless aliases."""

from __future__ import annotations

from pathlib import Path

from advisor.base.atomic import read_regular
from train.config.nodes import ConfigScalar, Items, Node, Section
from train.errors import TrainConfigError

MAX_BYTES = 2_000_000
_MAX_NODES = 100_000  # aliases can multiply; no config is that long
_MAX_DEPTH = 40
_CORE = ("str", "int", "float", "bool", "null", "map", "seq", "merge", "timestamp", "binary")


def read_file(path: Path) -> Section:
    """Return the tree of a config file."""
    try:
        raw = read_regular(path)
    except FileNotFoundError:
        raise TrainConfigError(f"{path}: no such config file; check the path") from None
    except OSError as error:
        why = error.strerror or error
        raise TrainConfigError(f"{path}: cannot be read ({why}); give a YAML file") from None
    if len(raw) > MAX_BYTES:
        raise TrainConfigError(
            f"{path}: {len(raw):,} bytes are no training config; give a YAML file"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TrainConfigError(f"{path}: not UTF-8 text; give a YAML file") from None
    return read_text(text, str(path))


def read_text(text: str, name: str) -> Section:
    """Return the tree of YAML text; ``name`` stands for the file in errors."""
    node = compose(text, name)
    if node is None:
        return Section(place=name)
    root = _Builder(name).build(node, 0)
    if not isinstance(root, Section):
        raise TrainConfigError(f"{root.place}: a config is a mapping of sections such as 'model:'")
    root.place = name  # a missing section has no line
    return root


def compose(text: str, name: str) -> object:
    """Return ruamel's node graph: nothing is constructed from tags."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or error.context).split())
        line = mark.line + 1 if mark else 1
        raise TrainConfigError(f"{name}:{line}: not valid YAML: {what}") from None
    except (YAMLError, RecursionError, ValueError) as error:
        raise TrainConfigError(
            f"{name}:1: not valid YAML: {' '.join(str(error).split())}"
        ) from None


class _Builder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def build(self, node: object, depth: int) -> Node:
        from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

        place = self._place(node)
        self.count += 1
        if depth > _MAX_DEPTH or self.count > _MAX_NODES:
            raise TrainConfigError(f"{place}: nested too deep, or an alias to itself; write it out")
        self._check_tag(node, place)
        if isinstance(node, MappingNode):
            return self._section(node, place, depth)
        if isinstance(node, SequenceNode):
            return Items([self.build(item, depth + 1) for item in node.value], place)
        assert isinstance(node, ScalarNode)  # the parser knows no fourth kind
        return ConfigScalar(str(node.value), place, quoted=node.style is not None)

    def _section(self, node: object, place: str, depth: int) -> Section:
        section = Section(place=place)
        merged: list[Section] = []
        for key_node, value_node in node.value:  # type: ignore[attr-defined]
            key = self.build(key_node, depth + 1)
            value = self.build(value_node, depth + 1)
            if not isinstance(key, ConfigScalar):
                raise TrainConfigError(f"{key.place}: a key must be plain text")
            if key.text == "<<" and not key.quoted:
                merged += self._merge(value)
            elif key.text in section.entries:
                raise TrainConfigError(
                    f"{key.place}: '{key.text}' is given twice; keep one of them"
                )
            else:
                section.entries[key.text] = _at(value, key.place)
        for other in merged:
            for name, inner in other:
                section.entries.setdefault(name, inner)
        return section

    def _merge(self, value: Node) -> list[Section]:
        found = value.items if isinstance(value, Items) else [value]
        sections = [each for each in found if isinstance(each, Section)]
        if len(sections) != len(found):
            raise TrainConfigError(f"{value.place}: '<<' takes a mapping or a list of mappings")
        return sections

    def _place(self, node: object) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"  # type: ignore[attr-defined]

    def _check_tag(self, node: object, place: str) -> None:
        tag = str(getattr(node, "tag", "") or "")
        known = tag.removeprefix("tag:yaml.org,2002:")
        if tag and ((known == tag and tag != "!") or (known != tag and known not in _CORE)):
            raise TrainConfigError(
                f"{place}: the YAML tag '{tag}' is not allowed; write plain values"
            )


def _at(node: Node, place: str) -> Node:
    """Return the line of the key, where a reader looks."""
    node.place = place
    return node
