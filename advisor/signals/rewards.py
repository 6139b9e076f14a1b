"""Rewards of preference and policy training: margins that saturate, groups without a spread, and
rewards that are lost again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.base.median import median
from advisor.findings import Reading
from advisor.run import Run
from advisor.signals import loss
from advisor.signals.activity import is_preference
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import Curve, View

SATURATED = 8.0  # a margin of 8 leaves a loss of 0.0003, which prints as 0
LEAST = 12  # points; a reward with fewer is not judged


def _curve_named(view: View, *parts: str) -> Curve:
    """Return the Curve of the first series whose own name in the log holds one of the parts."""
    for name, series in view.run.series.items():
        told = f"{name} {series.native}".lower()
        if name.startswith("train/") and any(part in told for part in parts):
            return view.curve(name)
    return view.curve("train/reward_spread")


def saturated(view: View) -> Reading:
    """1 where pairs are separated so clearly that their loss rounds to 0."""
    margins = _curve_named(view, "margin")
    if not is_preference(view).value or not len(margins):
        return Reading(0.0)
    return Reading(float(median(margins.y[-max(1, len(margins) // 4) :]) > SATURATED))


def no_spread(view: View) -> Reading:
    """Share of the points at which all answers of a group earned the same reward."""
    alike = _curve_named(view, "frac_reward_zero_std")
    curve = alike if len(alike) else _curve_named(view, "reward_std", "reward/std", "rewards/std")
    if why := need(curve, 5):
        return missing(why.replace("train/reward_spread", "spread of rewards"))
    still = curve.y >= 0.999 if curve is alike else np.abs(curve.high) <= 0
    share = float(still.mean())
    at = np.flatnonzero(still)
    first, last = (int(at[0]), int(at[-1])) if at.size else (0, len(curve) - 1)
    return found(share, curve, first, last, f"no spread of rewards in {share:.0%} of the points")


def _turn_reward_over(view: View) -> View | Reading:
    """Return a View with the reward upside down as its loss, starting at twice its span."""
    if is_preference(view).value:
        return missing("no reward of a policy in the log")
    curve = view.curve("train/reward")
    if why := need(curve, LEAST):
        return missing(why)
    span = float(np.ptp(curve.smooth))
    if span <= 0:
        return missing("the reward never changes")
    top = float(curve.smooth.max()) + span
    turned = replace(curve, y=top - curve.y, high=top - curve.y, last=top - curve.last)
    upside = View(Run(view.run.path, view.run.format, {}))
    upside.memo["train/loss"] = turned
    return upside


def _of_reward(name: str, doc: str) -> Signal:
    """Return a signal of the loss as a signal of the reward, which is better when higher."""
    source = loss.SIGNALS[name]

    def function(view: View) -> Reading:
        upside = _turn_reward_over(view)
        if isinstance(upside, Reading):
            return upside
        reading = source.function(upside)
        return Reading(reading.value, reading.why, reading.first_step, reading.last_step)

    return Signal(source.unit, doc, function)


SIGNALS = {
    "reward.saturated": Signal(
        "0 or 1", "margins are so wide that the loss rounds to 0", saturated
    ),
    "reward.no_spread": Signal(
        "share", "share of points at which all rewards of a group are equal", no_spread
    ),
    "reward.stays_down": _of_reward(
        "loss.stays_up", "share of the points below half the fall, since the best reward was left"
    ),
    "reward.fall_of_gain": _of_reward(
        "loss.rise_of_fall", "end below the best reward, as a share of the gain before"
    ),
    "reward.fall_noise": _of_reward(
        "loss.rise_noise", "end below the best reward, in standard errors"
    ),
}
