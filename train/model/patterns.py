"""Patterns over full module names, as in `peft.target_modules`.

`*` is any text, `?` one character, `[...]` one of these. A pattern without them names modules by
the end of their name: `q_proj` or `self_attn.q_proj`. Two rules of our own: `.` also stands for
`_`, so that the guide's `*.proj` finds q_proj, k_proj, gate_proj and their like; and a number is
always a whole number, so that `layers.1` is never layers.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PIECES = re.compile(r"\[[^\]]*\]|\d+|.", re.DOTALL)
_WILD = re.compile(r"[*?\[]")


def matches(pattern: str, name: str) -> bool:
    """Return whether the pattern matches a full module name."""
    if not _WILD.search(pattern):
        return name == pattern or name.endswith("." + pattern)
    return re.fullmatch(_regex(pattern), name) is not None


def any_matches(patterns: Iterable[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)


def _regex(pattern: str) -> str:
    # people who write regular expressions begin with `.*`
    return "".join(map(_piece, _PIECES.findall(pattern.removeprefix("."))))


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    if piece == "?":
        return "."
    if piece == ".":
        return "[._]"
    if piece.isdigit():
        return rf"(?<!\d){piece}(?!\d)"
    return piece if piece.startswith("[") and len(piece) > 1 else re.escape(piece)
