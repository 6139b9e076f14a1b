"""Bounds of an Edit: the recommended range of its key for this run."""

from __future__ import annotations

import math
from dataclasses import replace

from advisor.base.numbers import is_number, number
from advisor.config.ranges import KeyRange, top_of
from advisor.findings import Edit
from advisor.plan import coupling
from advisor.plan.edits import LEAP, note
from advisor.signals import View
from advisor.signals.rates import range_of, steps_otherwise
from advisor.signals.run_size import text

BEYOND = 3  # times the highest usual rate, above which no rule raises a rate
HOPELESS = 30  # times the highest usual rate; a lowered rate always ends below it
# A fix may go below the range recommended to start with.
_NO_FLOOR = (coupling.EPOCHS, coupling.LOCAL)


def cure_range(key: str, view: View, method: str = "") -> KeyRange | None:
    """Return the range that bounds a fix; it may go below a recommended start."""
    known = range_of(key, view, method)
    if known is None or known.per or known.low is None:
        return None
    return replace(known, low=1.0) if key in _NO_FLOOR else known


def bound(edit: Edit, view: View, old: object) -> Edit:
    """Return a relative Edit, bounded by the recommended range for the method and data size."""
    if edit.op not in ("multiply", "add"):
        return edit
    known, low, high = cure_range(edit.key, view), -math.inf, math.inf
    if known is not None and known.low is not None and known.high is not None:
        low, high = known.low, known.high
    if edit.key == coupling.LR and is_number(old):
        edit, high = _rate_bounds(edit, view, number(old), known)
    low = low if edit.low is None else max(edit.low, low)
    high = high if edit.high is None else min(edit.high, high)
    if math.isinf(low) and math.isinf(high):
        return edit
    return replace(edit, low=low, high=high) if low <= high else edit


def _rate_bounds(edit: Edit, view: View, old: float, known: KeyRange | None) -> tuple[Edit, float]:
    """Return the Edit of a rate and its upper bound.

    A run that learns too slowly at the end of the guide's range shows that the range does not suit
    it: only then may the rate be raised beyond.
    """
    high = math.inf if known is None or known.high is None else known.high
    top = top_of(edit.key, text(view, "method"))
    if edit.op != "multiply" or top is None or steps_otherwise(view):
        return edit, high
    if edit.direction < 0:
        return _lower(edit, known, old, top), math.inf
    if known is not None and old < high:
        return edit, high
    field = math.inf if known is None or known.field_high is None else known.field_high
    return edit, min(BEYOND * top, field)


def _lower(edit: Edit, known: KeyRange | None, old: float, top: float) -> Edit:
    """Lower a rate by its rule's factor, or by a LEAP if it is far above the best of later work.

    A rate that began higher also ends no lower, and no rate stays where no model tolerates it.
    ``top`` is the highest usual rate, over all methods if the run's is unknown.
    """
    wanted = min(old * number(edit.operand), HOPELESS * top)
    if known is None:
        wanted = min(wanted, max(BEYOND * top, old / LEAP))
    elif known.high is not None:
        best = max(known.high, known.field_best or 0.0)
        wanted = min(wanted, max(best, old / LEAP))
        if float(f"{wanted:.2g}") > known.high:
            edit = note(edit, f"still above the range, which ends at {known.high:g}")
    return replace(edit, operand=wanted / old)
