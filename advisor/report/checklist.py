"""A condition as a checklist in words: one bullet per clause, with the values of its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping

from advisor.rulebook.condition import Clause, clauses
from advisor.rulebook.ideas import load_ideas
from advisor.signals import SIGNALS

_NAME = re.compile(r"[A-Za-z_][\w.]*")
_COMPARISON = re.compile(r"(?P<name>[A-Za-z_][\w.]*) (?P<sign>[<>=!]=?) (?P<limit>-?[\w.]+)")
_SIGNS = {
    ">": "above", ">=": "at least", "<": "below", "<=": "at most", "==": "exactly", "!=": "not",
}  # fmt: skip
_JOINTS = {"any": "one of these:", "all": "all of these:"}


def checklist(condition: str, limits: Mapping[str, float]) -> str:
    """Return Markdown bullets for a condition; `limits` are the rule's, shown by value."""
    return "\n".join(_bullets(clauses(condition), limits, 0))


def _bullets(parts: tuple[Clause, ...], limits: Mapping[str, float], depth: int) -> list[str]:
    lines: list[str] = []
    for part in parts:
        idea = load_ideas().get(part.text)
        said = f"{idea.says} (`{idea.name}`):" if idea else _JOINTS.get(part.kind)
        lines.append("  " * depth + "- " + (said or in_words(part.text, limits)))
        lines += _bullets(part.parts, limits, depth + 1)
        if idea:
            lines += _bullets(clauses(idea.when), idea.limits, depth + 1)
    return lines


def in_words(clause: str, limits: Mapping[str, float]) -> str:
    """Return one clause in words, with the words of its signal."""
    match = _COMPARISON.fullmatch(clause)
    if match and match["name"] in SIGNALS:
        signal, limit = SIGNALS[match["name"]], _spell(match["limit"], limits)
        return f"{signal.doc}: {_SIGNS[match['sign']]} {limit} ({signal.unit}, `{match['name']}`)"
    bare = clause.removeprefix("not ").strip("()")
    if bare in SIGNALS:
        no = "not: " if clause.startswith("not ") else ""
        return f"{no}{SIGNALS[bare].doc} (`{bare}`)"
    return f"`{_NAME.sub(lambda name: _spell(name.group(), limits), clause)}`"


def _spell(name: str, limits: Mapping[str, float]) -> str:
    return f"{limits[name]:g}" if name in limits else name
