"""Ideas: named parts of conditions that rules share, read from `rules/ideas.yaml`.

When a rule is read, the name of an idea is replaced by its clauses, so that the engine only knows
signals and limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from advisor.base.paths import data_dir
from advisor.base.strict_yaml import parse_yaml
from advisor.errors import RuleError
from advisor.rulebook.condition import exchange, join, parse

IDEAS = "ideas.yaml"


@dataclass(frozen=True, slots=True)
class Idea:
    """A named part of a condition: its words, its limits, and the condition itself."""

    name: str
    says: str
    when: str
    limits: Mapping[str, float] = field(default_factory=dict)


@cache
def load_ideas(folder: Path | None = None) -> Mapping[str, Idea]:
    """Return all ideas by name; RuleError says what is wrong with the file."""
    path = (folder or data_dir("rules")) / IDEAS
    if not path.is_file():
        return {}
    document = parse_yaml(path.read_text(encoding="utf-8"))
    if document.faults or not isinstance(document.data, dict):
        raise RuleError(f"{path}: {document.faults[0].what if document.faults else 'no mapping'}")
    return {name: _idea(path, name, given) for name, given in document.data.items()}


def _idea(path: Path, name: str, given: object) -> Idea:
    match given:
        case {"says": str(says), "when": list(when), "limits": dict(limits), **rest} if not rest:
            idea = Idea(name, says, join(when), limits)
        case _:
            raise RuleError(f"{path}: {name}: an idea has says, limits and when")
    unused = idea.limits.keys() - {*parse(idea.when).names}
    if unused:
        raise RuleError(f"{path}: {name}: the limits {sorted(unused)} are not used")
    return idea


def expand(text: str) -> str:
    """Return a condition with every idea replaced by its clauses, and limits by their numbers."""
    ideas = load_ideas()
    known = {name: ideas[name] for name in parse(text).names if name in ideas}
    if not known:
        return text
    return exchange(
        text, {name: f"({expand(exchange(i.when, i.limits))})" for name, i in known.items()}
    )
