"""A loss that blows up within its first points or after it had learnt, also in short logs."""

from __future__ import annotations

import math

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, missing, need, point
from advisor.signals.curves import View
from advisor.signals.robust import Array

MIN_POINTS = 4
GUESS = 13.0  # above the logarithm of 262,144, the largest vocabulary in wide use
SHORT = 10  # points; with fewer the noise cannot be measured
LEFT_POINTS, SINCE = 6, 3  # points in all and since the minimum; two may be hard batches
SHORT_NOISE, LEAST_NOISE = 0.2, 0.02  # of the logarithm: small batches swing by a fifth


def _sides(y: Array) -> tuple[int, Array]:
    """Return the index at which the starting level lies, and the points at the end."""
    if y.size >= SHORT:
        return 0, y[y.size // 2 :]
    return int(np.argmin(y[: y.size // 2])), y[-max(2, y.size // 3) :]


def blowup(view: View) -> Reading:
    """Lowest of the late losses over the first one. A run that broke in its first steps never comes
    below 1 again, although it may fall all the time."""
    curve = view.loss
    if why := need(curve, MIN_POINTS):
        return missing(why)
    first, late = _sides(curve.y)
    if curve.y[first] <= 0 or late.min() <= 0:
        return missing("the loss is not above 0")
    value = float(np.quantile(late, 0.1)) / float(curve.y[first])
    before = point(curve, first, "before the jump")
    after = point(curve, -1, f"never below {value:.3g} times that again")
    return Reading(value, "", curve.at(first), curve.at(-1), (before, after))


def blowup_noise(view: View) -> Reading:
    """The rise from the first loss to the lowest late one, in noises. Both are of the logarithm:
    the swings of a loss are proportional to it."""
    curve = view.loss
    if why := need(curve, MIN_POINTS):
        return missing(why)
    first, late = _sides(curve.y)
    if curve.y.min() <= 0:  # a logarithm of every step
        return missing("the loss is not above 0")
    logs = np.log(curve.y)
    noise = max(robust.noise_around_median(logs), robust.local_noise(logs), LEAST_NOISE)
    noise = max(noise, SHORT_NOISE) if len(curve) < SHORT else noise
    return Reading(math.log(median(late) / float(curve.y[first])) / noise)


def blowup_at(view: View) -> Reading:
    """Points until the logarithm of the loss is first half way up."""
    curve = view.loss
    if why := need(curve, MIN_POINTS):
        return missing(why)
    first, late = _sides(curve.y)
    if curve.y[first] <= 0 or late.min() <= 0:
        return missing("the loss is not above 0")
    half = math.sqrt(float(curve.y[first]) * median(late))
    return Reading(float(np.argmax(curve.y[first:] >= half)))


def beyond_guess(view: View) -> Reading:
    """Points above the loss of a random guess over any vocabulary, after a first point below it:
    such weights are worse than none. Losses that are sums start above it and do not count."""
    curve = view.loss
    if why := need(curve, MIN_POINTS):
        return missing(why)
    above = np.flatnonzero(curve.y > GUESS)
    if not above.size or curve.y[0] > GUESS:
        return Reading(0.0)
    first, last = int(above[0]), int(above[-1])
    said = f"above {GUESS:g}, worse than a guess among any vocabulary, at {above.size} points"
    step, value = view.peak(curve, last)
    evidence = Evidence(curve.name, step, value, None, said)
    return Reading(float(above.size), "", curve.at(first), curve.at(last), (evidence,))


def _lowest(view: View) -> tuple[str, int]:
    """Return why the position of the minimum is unknown ('' if known), and its index: 0 where the
    loss has not left its minimum for some points."""
    curve = view.loss
    if why := need(curve, LEFT_POINTS):
        return why, 0
    if curve.y.min() <= 0:
        return "the loss is not above 0", 0
    best = int(np.argmin(curve.y))
    return "", best if len(curve) - 1 - best >= SINCE else 0


def left(view: View) -> Reading:
    """Lowest loss since the minimum over the second lowest up to it. Above 1 the run has not
    returned to a level that it reached twice. Needs no noise, which few points measure badly."""
    why, best = _lowest(view)
    if why or not best:
        return missing(why) if why else Reading(0.0)
    curve = view.loss
    value = float(curve.y[best + 1 :].min()) / float(np.partition(curve.y[: best + 1], 1)[1])
    lowest = point(curve, best, "the lowest point")
    after = point(curve, -1, f"never below {value:.3g} times what had been reached twice, since")
    return Reading(value, "", curve.at(best), curve.at(-1), (lowest, after))


def left_past(view: View) -> Reading:
    """Rise from the minimum to the lowest loss since, over the largest earlier rise that was
    undone; both of the logarithm."""
    why, best = _lowest(view)
    if why or not best:
        return missing(why) if why else Reading(0.0)
    logs = np.log(view.loss.y)
    undone = float((logs[: best + 1] - np.minimum.accumulate(logs[: best + 1])).max())
    usual = max(undone, SHORT_NOISE * view.loss.doubt)
    return Reading(float(logs[best + 1 :].min() - logs[best]) / usual)


SIGNALS = {
    "loss.left": Signal(
        "ratio", "lowest loss since the minimum over the second lowest up to it", left
    ),
    "loss.left_past": Signal(
        "ratio", "rise since the minimum over the largest earlier rise that was undone", left_past
    ),
    "loss.blowup": Signal("ratio", "lowest late loss over the first one", blowup),
    "loss.blowup_noise": Signal(
        "noise", "lowest late loss above the first one, in noises of the logarithm", blowup_noise
    ),
    "loss.blowup_at": Signal(
        "points", "points until the loss first reaches half of its rise", blowup_at
    ),
    "loss.beyond_guess": Signal(
        "points",
        "points above the loss of a random guess, after a first one below it",
        beyond_guess,
    ),
}
