"""Numbers as logs write them."""

from __future__ import annotations

import re

_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_WRAPPED = re.compile(r"(?:tensor|array|[\w.]*float\d*)?[(\[]+\s*([-+\w.]+)\s*[,)\]].*")


def to_float(value: object) -> float | None:
    """Read a number from what a log holds: numbers, 'nan', '1e-4', '10/3820', '5%'; else None."""
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
