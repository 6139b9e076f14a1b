"""The fields that a rule file may have, and what each must look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from advisor.findings import Applies, Severity
from advisor.rulebook.rule import OBJECTIVES, POINTS, Confidence, Expect


@dataclass(frozen=True, slots=True)
class FieldKind:
    """What a field must be: a test, and its description for messages."""

    what: str
    fits: Callable[[object], bool]
    required: bool = False


Shape = dict[str, FieldKind]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(_is_text(item) for item in value)


def _is_maps(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _is_map_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(fits(item) for item in value.values())


def _is_operand(value: object) -> bool:
    return _is_number(value) or _is_text(value)


def _is_share(value: object) -> bool:
    return _is_number(value) and 0 < value <= 1  # type: ignore[operator]


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item > 0 for item in value)


def _is_cause(value: object) -> bool:
    """Return whether this is one name with its share, with or without a text under `when`."""
    if not isinstance(value, dict) or not _is_text(value.get("when", "always")):
        return False
    shares = [share for name, share in value.items() if name != "when"]
    return len(shares) == 1 and _is_share(shares[0])


def _is_objective(value: object) -> bool:
    names = value if isinstance(value, list) and value else [value]
    return all(name in OBJECTIVES for name in names)


def _is_points(value: object) -> bool:
    fits = _is_map_of(value, lambda count: type(count) is int and count > 0)
    return fits and all(name in POINTS for name in value)  # type: ignore[attr-defined]


def _is_near(value: object) -> bool:
    return value is True or _is_text(value) or (_is_texts(value) and bool(value))


def _text(required: bool = False) -> FieldKind:
    return FieldKind("a text", _is_text, required)


def _one_of(words: tuple[str, ...], required: bool = False) -> FieldKind:
    return FieldKind(f"one of {', '.join(words)}", lambda value: value in words, required)


_NUMBER = FieldKind("a number", _is_number)
_FLAG = FieldKind("true or false", lambda value: isinstance(value, bool))
_TEXTS = FieldKind("a list of texts", _is_texts)
_MAPS = FieldKind("a list of mappings", _is_maps)
_MAP = FieldKind("a mapping", lambda value: isinstance(value, dict))
_CLAUSES = FieldKind("a list of clauses", lambda value: isinstance(value, list) and bool(value))
_SCALAR = FieldKind("one value", _is_scalar)

RULE: Shape = {
    "code": _text(required=True),
    "name": _text(required=True),
    "guide": _TEXTS,
    "practice": FieldKind("a list of rows, like [3, 31]", _is_rows),
    "symptom": _text(required=True),
    "seen": _text(required=True),
    "means": _text(required=True),
    "do": _text(required=True),
    "message": _text(),
    "severity": _one_of(get_args(Severity), required=True),
    "confidence": _one_of(get_args(Confidence), required=True),
    "limits": FieldKind("names with numbers", lambda value: _is_map_of(value, _is_number)),
    "when": _CLAUSES,
    "unheld": FieldKind("limits with the reason", lambda value: _is_map_of(value, _is_text)),
    "unless": _TEXTS,
    "causes": FieldKind(
        "a list like [{lr_too_high: 0.6}, {missing_clipping: 0.5, when: not run.clips}] with "
        "shares above 0 and up to 1",
        lambda value: isinstance(value, list) and all(_is_cause(item) for item in value),
    ),
    "edits": _MAPS,
    "plots": _TEXTS,
    "related": _TEXTS,
    "waits_for": _one_of(("trainer", "data", "loop")),
    "objective": FieldKind(f"one of {', '.join(OBJECTIVES)}, or a list of them", _is_objective),
    "needs": FieldKind(f"whole numbers of points for some of {', '.join(POINTS)}", _is_points),
    "live": _MAP,
    "cases": _MAPS,
}

LIVE: Shape = {
    "from": FieldKind("a share of the run from 0 to 1", lambda v: v == 0 or _is_share(v)),
    "with": FieldKind("names with a number or another name", lambda v: _is_map_of(v, _is_operand)),
    "and": _CLAUSES,
}
EDIT: Shape = {
    "op": _one_of(("set", "multiply", "add", "append", "remove", "advice"), required=True),
    "key": _text(required=True),
    "by": _NUMBER,
    "to": _SCALAR,
    "item": _text(),
    "min": _NUMBER,
    "max": _NUMBER,
    "applies": _one_of(get_args(Applies)),
    "when": _text(),
    "text": _text(),
}
EDIT_OPERAND = {"set": "to", "multiply": "by", "add": "by", "append": "item", "remove": "item"}

CASE: Shape = {
    "name": _text(required=True),
    "expect": _one_of(get_args(Expect), required=True),
    "series": FieldKind("series with their values as text", lambda v: _is_map_of(v, _is_text)),
    "every": FieldKind("series with a step each", lambda v: _is_map_of(v, _is_number)),
    "epochs": _NUMBER,
    "config": _MAP,
    "facts": _MAP,
    "events": _MAPS,
    "near": FieldKind("true, a limit, or a list of limits", _is_near),
    "explained_by": _text(),
    "live": _one_of(("fires", "silent")),
    "trap": _FLAG,
    "causes": _text(),
    "edits": FieldKind(
        "config keys with up, down, none or a value", lambda v: _is_map_of(v, _is_scalar)
    ),
    "guide": _TEXTS,
}

# A finding is read at a glance; longer texts belong in the docs.
TEXT_LIMITS = {"seen": 220, "means": 320, "do": 360, "message": 200}
