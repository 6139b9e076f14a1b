"""Configs as plain trees: YAML and JSON read safely, bounded, without code or expansion.

YAML is composed into nodes and converted to values here, not by a loader's constructors: tags have
no effect, aliases are shared (never copied), and ``1e-8`` is a number.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from advisor.errors import ConfigError

MAX_YAML = 256 * 1024
MAX_JSON = 4 * 1024 * 1024
MAX_DEPTH = 60

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')  # skips quoted texts
_GROUPED = re.compile(r"[-+]?\d{1,3}(_\d{3})+")  # 10_000
_WORDS: dict[str, object] = {
    "~": None, "null": None, "none": None, "true": True, "false": False,
    ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip
# brackets opened in a row with none closed in between
_OPENED = re.compile(rf"(?:[\[{{][^\[\]{{}}]{{0,80}}){{{MAX_DEPTH}}}")
_TOP = re.compile(r"""^(?:"([^"\n]+)"|'([^'\n]+)'|([^\s#"'{\[&*!|>%@`][^:\n]*?))\s*:(?=\s|$)""")
_ARGUMENT = re.compile(r"\s+(learning_rate|num_train_epochs|lora_alpha)\s*:")


def cast(text: str) -> object:
    """Return the value of a config's scalar text; other text stays text."""
    bare = text.strip()
    if bare.lower() in _WORDS:
        return _WORDS[bare.lower()]
    if len(bare) < 40 and _NUMBER.fullmatch(bare):
        return int(bare) if bare.lstrip("+-").isdigit() else float(bare)
    if len(bare) < 40 and _GROUPED.fullmatch(bare):
        return int(bare)
    return text


def read_text(path: Path) -> str:
    """Return the text of a config file within the size bound."""
    limit = MAX_JSON if path.suffix == ".json" else MAX_YAML
    if path.exists() and not path.is_file():  # opening a pipe would block
        raise ConfigError(f"{path}: not a regular file, so not a config")
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > limit:
        raise ConfigError(f"{path}: larger than {limit // 1024} KiB, not read as a config")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text, so not a config") from None


def is_json(path: Path, text: str) -> bool:
    """Return whether a config's text is JSON."""
    return path.suffix == ".json" or text.lstrip()[:1] == "{"


def parse(text: str, path: Path, roots: Collection[str] | None = None) -> dict[str, object]:
    """Return the tree of a config text; with ``roots`` only those top-level keys are read."""
    text = text.removeprefix("\ufeff")
    if is_json(path, text):
        _refuse_deep(text, path)
        tree = _parse_json(text, path)
    else:
        tree = _parse_yaml(_only(text, roots) if roots is not None else text, path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no mapping of keys to values")
    return tree


def dig(tree: object, path: str) -> object:
    """Return the value at a dotted path, or None; a top-level key may hold dots itself."""
    if isinstance(tree, Mapping) and path in tree:
        return tree[path]
    for part in path.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return None
        tree = tree[part]
    return tree


def has(tree: object, path: str) -> bool:
    """Return whether a dotted path exists, even with a null value."""
    if isinstance(tree, Mapping) and path in tree:
        return True
    head, _, name = path.rpartition(".")
    parent = dig(tree, head) if head else tree
    return isinstance(parent, Mapping) and name in parent


@lru_cache(maxsize=4)  # a text is composed for reading, changing and verifying
def compose(text: str) -> Any:
    """Return the node graph of one YAML document; raises ruamel's YAMLError."""
    from ruamel.yaml import YAML  # costs 50 ms, and most runs have no YAML config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a reused anchor does not matter here
        return YAML(typ="safe", pure=True).compose(text)


def _refuse_deep(text: str, path: Path) -> None:
    """Refuse nesting deeper than any trainer's, before a parser recurses into it."""
    depth = 0
    for match in _BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{path}: nested too deeply for a config")


def _parse_json(text: str, path: Path) -> object:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass  # json accepts bare NaN and Infinity, as Python writes them
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not valid JSON ({error.msg})") from None
    except ValueError:
        raise ConfigError(f"{path}: holds an integer of thousands of digits") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply for a config") from None


def _parse_yaml(text: str, path: Path) -> object:
    from ruamel.yaml.error import YAMLError

    if _OPENED.search(text):
        raise ConfigError(f"{path}: nested too deeply for a config")
    try:
        return _value(compose(text), {}, 0)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ConfigError(f"{where}: not valid YAML ({_problem(error)})") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply for a config") from None


def _problem(error: Exception) -> str:
    """Return in a few words why YAML could not be parsed."""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "broken"
    if "another document" in str(said):
        return "several documents in one file; keep the one that was trained with"
    return str(said).splitlines()[0]


def _value(node: Any, memo: dict[int, object], depth: int) -> object:
    if node is None:
        return None
    if depth > MAX_DEPTH:
        raise RecursionError
    if id(node) in memo:
        return memo[id(node)]
    kind = type(node).__name__
    if kind == "ScalarNode":
        quoted = node.style in ("'", '"')
        return cast(node.value) if node.value or quoted else None
    if kind == "SequenceNode":
        items: list[object] = []
        memo[id(node)] = items
        items.extend(_value(child, memo, depth + 1) for child in node.value)
        return items
    return _mapping(node, memo, depth)


def _mapping(node: Any, memo: dict[int, object], depth: int) -> dict[str, object]:
    own: dict[str, object] = {}
    memo[id(node)] = own
    merged: dict[str, object] = {}
    for key, child in node.value:
        value = _value(child, memo, depth + 1)
        if key.value == "<<":
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    merged = {**part, **merged}
        elif isinstance(key.value, str):
            own[key.value] = value
    for name, value in merged.items():
        own.setdefault(name, value)
    return own


def _only(text: str, roots: Collection[str]) -> str:
    """Return the top-level blocks of ``roots`` only: a tracker's config.yaml has hundreds."""
    if len(text) < 2000 or "\n---" in text or text.lstrip()[:1] in "[{":
        return text
    blocks: list[list[str]] = [[]]
    names = [""]
    for line in text.splitlines(keepends=True):
        match = _TOP.match(line)
        if match:
            blocks.append([])
            names.append(next(group for group in match.groups() if group))
        blocks[-1].append(line)
    # blank lines keep the line numbers right
    short = "".join(
        "".join(block) if not name or name in roots or _speaks(block) else "\n" * len(block)
        for name, block in zip(names, blocks, strict=True)
    )
    # An alias of a removed anchor cannot be resolved.
    return text if re.search(r"[:\-]\s+\*\w", short) else short


def _speaks(block: list[str]) -> bool:
    """Return whether a section of another name holds training arguments."""
    return len(block) > 2 and any(_ARGUMENT.match(line) for line in block)
