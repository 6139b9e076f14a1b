"""Numbers of logs and configs as floats, whatever was written there."""

from __future__ import annotations

import math


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
