"""Texts of a config become values: the casts, and ``${VAR}`` from the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from train.errors import TrainConfigError

NULLS = frozenset({"", "~", "null", "Null", "NULL"})  # YAML's own, where the text is not quoted
_WORDS: dict[str, bool | None] = {"none": None, "true": True, "false": False}
_SPECIAL = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LITERALS = (str, int, float, bool, type(None), list, tuple, dict)
_MAX_LITERAL = 10_000  # a longer text is no number or list that somebody typed


def cast(text: str) -> object:
    """Return what a text stands for: none, true, false, a Python literal, otherwise itself."""
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    if _SPECIAL.fullmatch(word):
        return float(word.replace(".", ""))
    if len(text) > _MAX_LITERAL:
        return text
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    return value if isinstance(value, _LITERALS) else text


def expand(text: str, env: Mapping[str, str]) -> str:
    """Return the text with ``${VAR}`` and ``${VAR,default}`` replaced."""

    def value(match: re.Match[str]) -> str:
        name, comma, default = match.group(1).partition(",")
        name = name.strip()
        if not _NAME.fullmatch(name):
            raise TrainConfigError(f"'{match.group(0)}' names no variable; write ${{NAME}}")
        if name in env:
            return env[name]
        if not comma:
            raise TrainConfigError(
                f"the environment variable {name} is not set; set it, or write ${{{name},default}}"
            )
        return default.strip()

    return _VARIABLE.sub(value, text)
