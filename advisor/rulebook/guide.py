"""The rows of the guide, in our own words: what you see, what it means, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from advisor.base.paths import data_dir
from advisor.base.strict_yaml import parse_yaml
from advisor.errors import RuleError

GUIDE = "guide.yaml"


@dataclass(frozen=True, slots=True)
class GuideRow:
    """One row of rules/guide.yaml; a row of ranges has no text of its own."""

    id: str
    see: str = ""
    means: str = ""
    do: str = ""


@cache
def load_guide(folder: Path | None = None) -> dict[str, GuideRow]:
    """Return the guide's rows by id, in its order; RuleError says what is wrong with the file."""
    path = (folder or data_dir("rules")) / GUIDE
    document = parse_yaml(path.read_text(encoding="utf-8"))
    if document.faults or not isinstance(document.data, list):
        raise RuleError(f"{path}: {document.faults[0].what if document.faults else 'no list'}")
    rows = [_row(path, given) for given in document.data]
    if len(rows) != len({row.id for row in rows}):
        raise RuleError(f"{path}: an id stands twice")
    return {row.id: row for row in rows}


def _row(path: Path, given: object) -> GuideRow:
    if isinstance(given, dict) and "id" in given and given.keys() <= {"id", "see", "means", "do"}:
        if all(isinstance(text, str) for text in given.values()):
            return GuideRow(**given)
    raise RuleError(f"{path}: {given!r}: a row has id, see, means and do, all of them text")
