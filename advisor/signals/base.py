"""The shape of a Signal: a named, pure function of a View."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from advisor.findings import Evidence, Reading
from advisor.signals.curves import Curve, View


@dataclass(frozen=True, slots=True)
class Signal:
    """One measured property of a Run: its unit, what it says, and the function for it."""

    unit: str
    doc: str
    function: Callable[[View], Reading]


def missing(why: str) -> Reading:
    """Return the Reading of a signal that lacks its data."""
    return Reading(None, why)


def found(value: float, curve: Curve, first: int, last: int, text: str = "") -> Reading:
    """Return a Reading over the points ``first`` to ``last`` of a curve, with one Evidence."""
    evidence = point(curve, last, text)
    return Reading(float(value), "", curve.at(first), curve.at(last), (evidence,))


def point(curve: Curve, index: int, text: str = "", expected: float | None = None) -> Evidence:
    """Return a point of a curve as Evidence: what was logged, never a mean."""
    return Evidence(curve.name, curve.at(index), float(curve.last[index]), expected, text)


def need(curve: Curve, points: int) -> str:
    """Say what a curve lacks for a signal that needs that many points; '' where nothing."""
    if len(curve) >= points:
        return ""
    if not curve.points:
        return f"no {curve.name} in the log"
    return f"only {len(curve)} finite points of {curve.name}, needs {points}"
