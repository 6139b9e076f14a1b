"""Every Signal by name, and the one way to read them: ``resolve(name, view)``."""

from __future__ import annotations

import math

from advisor.base.numbers import finite
from advisor.findings import Reading
from advisor.signals import (
    activity,
    blowup,
    crashes,
    events,
    generalisation,
    gradient,
    loss,
    numerics,
    practice,
    rates,
    rewards,
    schedule,
    spikes,
    swings,
    tail,
    validation,
    validation_tail,
)
from advisor.signals import config_checks as setup
from advisor.signals import live as now
from advisor.signals.base import Signal, missing
from advisor.signals.curves import View

SIGNALS: dict[str, Signal] = {
    **loss.SIGNALS,
    **tail.SIGNALS,
    **numerics.SIGNALS,
    **spikes.SIGNALS,
    **swings.SIGNALS,
    **validation.SIGNALS,
    **validation_tail.SIGNALS,
    **generalisation.SIGNALS,
    **gradient.SIGNALS,
    **schedule.SIGNALS,
    **activity.SIGNALS,
    **events.SIGNALS,
    **crashes.SIGNALS,
    **practice.SIGNALS,
    **setup.SIGNALS,
    **blowup.SIGNALS,
    **rates.SIGNALS,
    **now.SIGNALS,
    **rewards.SIGNALS,
}

__all__ = ["SIGNALS", "Signal", "View", "resolve"]


def resolve(name: str, view: View) -> Reading:
    """Return the Reading of a signal, or of ``config.<key>``; kept per View.

    KeyError for an unknown name: rules are checked against SIGNALS when they are loaded.
    """
    reading = view.memo.get("reading " + name)
    if not isinstance(reading, Reading):
        if name.startswith("config."):
            reading = _config(name.removeprefix("config."), view)
        else:
            reading = _finite(SIGNALS[name].function(view))
        view.memo["reading " + name] = reading
    return reading


def _config(key: str, view: View) -> Reading:
    value = view.config.get(key)
    if value is None:
        return missing(f"{key} is not known: give --config or --set {key}=...")
    if (number := finite(value)) is not None:
        return Reading(number)
    return missing(f"{key} is {value!r}, not a number")


def _finite(reading: Reading) -> Reading:
    """Return a Reading without NaN: in a condition, comparisons with NaN would be false."""
    if reading.value is not None and not math.isfinite(reading.value):
        return missing("the signal is not finite")
    return reading
