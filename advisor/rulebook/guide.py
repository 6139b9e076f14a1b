"""The rows of the guide, in our own words: what you see, what it means, what to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from advisor.base.paths import data_dir
from advisor.base.strict_yaml import parse_yaml
from advisor.errors import RuleError

GUIDE = "guide.yaml"


class GuideRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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
    if document.faults:
        raise RuleError(f"{path}: {document.faults[0].what}")
    try:
        rows = msgspec.convert(document.data, list[GuideRow])
    except msgspec.ValidationError as error:
        raise RuleError(f"{path}: {error}") from None
    by_id = {row.id: row for row in rows}
    if len(by_id) < len(rows):
        raise RuleError(f"{path}: an id stands twice")
    return by_id
