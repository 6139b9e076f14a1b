"""Numbers from logs and configs, whatever was written there."""

from __future__ import annotations

import math
from typing import cast


def finite(value: object) -> float | None:
    """Return a number (flags count as 0 and 1) as float; None for anything else.

    NaN, infinity and integers that no float can hold are None too.
    """
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_number(value: object) -> bool:
    """Return whether a value is a finite number; true and false are not numbers."""
    return not isinstance(value, bool) and finite(value) is not None


def number(value: object) -> float:
    """Return a value known to be a number as float."""
    return float(cast(float, value))


def same(left: object, right: object, tolerance: float = 1e-6) -> bool:
    """Return whether two values mean the same in a config."""
    if is_number(left) and is_number(right):
        return math.isclose(number(left), number(right), rel_tol=tolerance, abs_tol=1e-300)
    return left == right


def count(number: int, noun: str) -> str:
    """Return a count in words: '1 point', '2 points'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
