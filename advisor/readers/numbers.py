"""Parsing numbers as logs write them."""

from __future__ import annotations

import re

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WRAPPED = re.compile(r"(?:tensor|array|[\w.]*float\d*)?[(\[]+\s*([-+\w.]+)\s*[,)\]].*")


def to_float(value: object) -> float | None:
    """Return the number in a value of a log: 1, 'nan', '1e-4', '5%', '10/3820' (10); else None.

    A percentage keeps its figure: '5%' is 5.0. A truth value is no number.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if isinstance(value, str) and 0 < len(value) < 64:
        return _from_text(value.strip().rstrip("%"))
    return None


def _from_text(text: str) -> float | None:
    head, slash, tail = text.partition("/")
    if (slash and not tail.strip().isdigit()) or "_" in head:
        return None
    if _THOUSANDS.fullmatch(head.strip()):
        head = head.replace(",", "")
    wrapped = _WRAPPED.fullmatch(head)
    try:
        return float(wrapped[1] if wrapped else head)
    except ValueError:
        return None
