"""The shape of the training loss: level, progress, rise, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.signals import robust
from advisor.signals.base import Signal, found, missing, need, point
from advisor.signals.curves import FEW, Curve, View

MIN_POINTS = 5  # below FEW points more has to show: their noise is hardly known
LATE_POINTS = 5  # points that may be missing at the start of a log
LATE_SHARE = 0.1  # share of the epochs that may be missing
STANDS_OUT = 5.0  # noises above the next points, from which the first point is the start ...
FELL = 0.05  # ... and the least share of its value
MEDIAN_COST = 1.25  # standard error of a median over that of a mean, normal noise


@dataclass(frozen=True, slots=True)
class LossShape:
    """Levels of one curve in its own units. ``spread`` is the noise of one point; ``persistence``
    is how much wider its levels are than those of white noise."""

    start: float  # level of the first points
    began: float  # the first point where it stands out (a fall may follow at once), else start
    end: float
    best: float
    best_index: int
    spread: float
    persistence: float
    head: int
    tail: int
    window: int

    @property
    def fall(self) -> float:
        return self.start - self.best

    @property
    def gain(self) -> float:
        return self.began - self.best

    @property
    def error(self) -> float:
        """Standard error of a level that is the median of a window."""
        points = max(1, min(self.window, self.tail))
        return MEDIAN_COST * self.spread * self.persistence / math.sqrt(points)

    @property
    def gain_error(self) -> float:
        """Return two standard errors of the gain: the lowest of many levels is low by chance."""
        alone = self.began > self.start
        start = self.spread if alone else MEDIAN_COST * self.spread / math.sqrt(self.head)
        return 2 * math.hypot(start, self.error)

    @property
    def sure_gain(self) -> float:
        return max(0.0, self.gain - self.gain_error)


def shape_of(curve: Curve) -> LossShape:
    """Measure start, end and best level of a curve of at least 5 points."""
    n = len(curve)
    head, tail = max(min(3, n), n // 100), max(3, n // 10)
    if n < FEW:
        head, tail = 1 + n // 7, 2
    smooth = curve.smooth
    best = int(np.argmin(smooth))
    start, first = median(curve.y[:head]), float(curve.y[0])
    spread = max(curve.spread, curve.noise)
    return LossShape(
        start=start,
        began=first if first - start > max(STANDS_OUT * spread, FELL * abs(first)) else start,
        end=median(curve.y[-tail:]),
        best=float(smooth[best]),
        best_index=best,
        spread=spread,
        persistence=curve.persistence,
        head=head,
        tail=tail,
        window=robust.window_for(n, low=3),
    )


def loss_shape(view: View) -> LossShape:
    memo = view.memo.get("loss.shape")
    if not isinstance(memo, LossShape):
        memo = view.memo["loss.shape"] = shape_of(view.loss)
    return memo


def _spanning(
    value: float, view: View, first: int, last: int, evidence: tuple[Evidence, ...]
) -> Reading:
    return Reading(float(value), "", view.loss.at(first), view.loss.at(last), evidence)


def _first(view: View) -> Evidence:
    step, value = view.first(view.loss.name) or (view.loss.at(0), float(view.loss.last[0]))
    return Evidence(view.loss.name, step, value, None, "the first point")


def _lowest(view: View) -> Evidence:
    step, value = view.lowest(view.loss.name) or (view.loss.at(-1), float(view.loss.last[-1]))
    return Evidence(view.loss.name, step, value, None, "the lowest point")


def first(view: View) -> Reading:
    """First logged training loss."""
    if why := need(view.loss, 1):
        return missing(why)
    evidence = _first(view)
    return Reading(evidence.value, "", evidence.step, evidence.step, (evidence,))


def last(view: View) -> Reading:
    """Last logged training loss."""
    if why := need(view.loss, 1):
        return missing(why)
    n = len(view.loss)
    return found(float(view.loss.last[-1]), view.loss, n - 1, n - 1, "the last point")


def lowest(view: View) -> Reading:
    """Lowest logged training loss, as the header of a report states it."""
    if why := need(view.loss, 1):
        return missing(why)
    evidence = _lowest(view)
    return Reading(evidence.value, "", evidence.step, evidence.step, (evidence,))


def lowest_step(view: View) -> Reading:
    """Step of the lowest training loss."""
    reading = lowest(view)
    return reading if reading.first_step is None else Reading(float(reading.first_step))


def _measure(view: View, points: int = MIN_POINTS) -> str:
    return need(view.loss, points)


def begins_late(view: View) -> str:
    """Return why a log seems to begin in mid-run, by its epochs; '' where it holds the start. A
    fall before the log would be missed."""
    epochs = view.loss.epochs
    if epochs is None or epochs.size < 2 or not np.isfinite(epochs).all():
        return ""
    whole = bool((epochs == np.floor(epochs)).all())
    first = float(epochs[0]) - whole  # whole epochs may be counted from 1
    gap = float(epochs[-1] - epochs[0]) / (epochs.size - 1)
    late = first > LATE_POINTS * gap and first > LATE_SHARE * float(epochs[-1])
    return f"the log begins in mid-run, at epoch {epochs[0]:.3g}" if late and gap > 0 else ""


def points(view: View) -> Reading:
    return Reading(float(len(view.loss)))


def start(view: View) -> Reading:
    if why := _measure(view):
        return missing(why)
    shape = loss_shape(view)
    return _spanning(shape.start, view, 0, shape.head - 1, (_first(view),))


def end(view: View) -> Reading:
    if why := _measure(view):
        return missing(why)
    shape, n = loss_shape(view), len(view.loss)
    return found(shape.end, view.loss, n - shape.tail, n - 1, "the last point")


def best(view: View) -> Reading:
    if why := _measure(view):
        return missing(why)
    shape = loss_shape(view)
    i = shape.best_index
    return _spanning(shape.best, view, i, i, (_lowest(view),))


def progress(view: View) -> Reading:
    """Relative fall from where the loss began to its best level."""
    if why := _measure(view) or begins_late(view):
        return missing(why)
    shape = loss_shape(view)
    if abs(shape.start) < 1e-12:
        return missing("the loss starts at 0")
    value = shape.gain / abs(shape.began)
    return _spanning(value, view, 0, len(view.loss) - 1, (_first(view), _lowest(view)))


def progress_noise(view: View) -> Reading:
    """Fall from start to best in units of the noise of one point."""
    if why := _measure(view):
        return missing(why)
    shape = loss_shape(view)
    floor = 1e-9 * max(abs(shape.start), 1e-9)
    return found(shape.gain / max(shape.spread, floor), view.loss, 0, len(view.loss) - 1)


def sure_progress(view: View) -> Reading:
    """Relative fall from start to best level that chance does not explain."""
    if why := _measure(view) or begins_late(view):
        return missing(why)
    shape = loss_shape(view)
    if abs(shape.start) < 1e-12:
        return missing("the loss starts at 0")
    return found(shape.sure_gain / abs(shape.began), view.loss, 0, len(view.loss) - 1)


def most_progress(view: View) -> Reading:
    """Largest relative fall that two standard errors allow."""
    if why := _measure(view) or begins_late(view):
        return missing(why)
    shape = loss_shape(view)
    if abs(shape.start) < 1e-12:
        return missing("the loss starts at 0")
    most = (shape.gain + shape.gain_error) / abs(shape.began)
    return found(most, view.loss, 0, len(view.loss) - 1)


def sure_noise(view: View) -> Reading:
    """Fall from start to best level that chance does not explain, in noises of one point."""
    if why := _measure(view):
        return missing(why)
    shape = loss_shape(view)
    floor = 1e-9 * max(abs(shape.start), 1e-9)
    return found(shape.sure_gain / max(shape.spread, floor), view.loss, 0, len(view.loss) - 1)


def noise(view: View) -> Reading:
    """Noise of one point over the median level, after the local trend is taken out."""
    if why := _measure(view):
        return missing(why)
    level = abs(median(view.loss.y))
    if level < 1e-12:
        return missing("the loss is 0")
    value = loss_shape(view).spread / level
    text = f"swings by {value:.0%} of its level from point to point"
    return found(value, view.loss, 0, len(view.loss) - 1, text)


def trend(view: View) -> Reading:
    """Mann-Kendall z of the whole curve, corrected for autocorrelation; falling is negative."""
    if why := _measure(view, FEW):
        return missing(why)
    return found(robust.mann_kendall_z(view.loss.y), view.loss, 0, len(view.loss) - 1)


def rise(view: View) -> Reading:
    """How far the end lies above the best level, relative to the best level."""
    if why := _measure(view):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    if abs(shape.best) < 1e-12:
        return missing("the best level is 0")
    value = (shape.end - shape.best) / abs(shape.best)
    end = point(curve, -1, f"ends {value:+.0%} from its best level")
    return _spanning(value, view, shape.best_index, len(curve) - 1, (_lowest(view), end))


def rise_noise(view: View) -> Reading:
    """The rise from the best level to the end, in standard errors of a level."""
    if why := _measure(view):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    floor = 1e-6 * max(abs(shape.start), 1e-9)
    value = (shape.end - shape.best) / max(shape.error, floor)
    return found(value, curve, shape.best_index, len(curve) - 1)


def line_noise(view: View) -> Reading:
    """Fall along a robust line through the whole curve, in noises of one point."""
    if why := _measure(view, FEW):
        return missing(why)
    curve, shape = view.loss, loss_shape(view)
    fall = -robust.theil_sen(curve.steps, curve.y) * float(curve.steps[-1] - curve.steps[0])
    return Reading(fall / max(shape.spread, 1e-9 * max(abs(shape.start), 1e-9)))


def rise_of_fall(view: View) -> Reading:
    """The rise from the best level to the end, as a share of the fall before it. A small bump after
    a fall by a factor of 1000 is not divergence."""
    if why := _measure(view):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    value = (shape.end - shape.best) / max(shape.fall, 0.02 * abs(shape.start), 1e-12)
    return found(value, curve, shape.best_index, len(curve) - 1)


def stays_up(view: View) -> Reading:
    """Share of the points, since the best level was left, that stay above half the rise."""
    if why := _measure(view):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    threshold = shape.best + 0.5 * (shape.end - shape.best)
    after = curve.smooth[shape.best_index :]
    below = np.flatnonzero(after <= threshold)
    left = shape.best_index + (int(below[-1]) if below.size else 0)
    share = (len(curve) - 1 - left) / max(1, len(curve) - 1)
    from_here = point(curve, left, "from here on above its best level")
    return replace(found(share, curve, left, len(curve) - 1), evidence=(from_here,))


def early_progress(view: View) -> Reading:
    """Relative fall within the first 100 optimiser steps after the first tenth of the warm-up."""
    if why := _measure(view):
        return missing(why)
    shape, curve = loss_shape(view), view.loss
    inside = np.flatnonzero(curve.steps - curve.steps[0] <= 100)
    if inside.size < 5 or curve.steps[-1] - curve.steps[0] < 50:
        return missing("fewer than 5 points within the first 100 steps")
    last = int(inside[-1])
    level = median(curve.y[max(0, last - max(2, inside.size // 5)) : last + 1])
    value = (shape.start - level) / max(abs(shape.start), 1e-12)
    return found(value, curve, 0, last, "the end of the first 100 steps")


def end_of_start(view: View) -> Reading:
    """End level over start level: 1 when nothing was gained."""
    if why := _measure(view):
        return missing(why)
    shape = loss_shape(view)
    if abs(shape.start) < 1e-12:
        return missing("the loss starts at 0")
    return found(shape.end / shape.start, view.loss, 0, len(view.loss) - 1)


SIGNALS = {
    "loss.points": Signal("points", "finite points of the training loss", points),
    "loss.first": Signal("loss", "first logged training loss", first),
    "loss.last": Signal("loss", "last logged training loss", last),
    "loss.lowest": Signal("loss", "lowest logged training loss", lowest),
    "loss.lowest_step": Signal("step", "step of the lowest training loss", lowest_step),
    "loss.start": Signal("loss", "level of the first points", start),
    "loss.end": Signal("loss", "training loss level over the last tenth", end),
    "loss.best": Signal("loss", "lowest running median of the training loss", best),
    "loss.progress": Signal("share", "relative fall from start to best level", progress),
    "loss.progress_noise": Signal(
        "noise", "fall from start to best, in point noises", progress_noise
    ),
    "loss.sure_progress": Signal(
        "share", "fall from start to best level that chance does not explain", sure_progress
    ),
    "loss.most_progress": Signal(
        "share", "largest fall to the best level that chance allows", most_progress
    ),
    "loss.sure_noise": Signal(
        "noise", "fall from start to best level that chance does not explain, in noises", sure_noise
    ),
    "loss.noise": Signal("share", "noise of one point over the median level", noise),
    "loss.trend": Signal("z", "Mann-Kendall z of the whole curve", trend),
    "loss.line_noise": Signal("noise", "fall along a fitted line, in point noises", line_noise),
    "loss.rise": Signal("share", "end above the best level", rise),
    "loss.rise_noise": Signal("errors", "end above the best level, in standard errors", rise_noise),
    "loss.rise_of_fall": Signal(
        "share", "end above the best level, as a share of the fall before", rise_of_fall
    ),
    "loss.stays_up": Signal(
        "share", "share of the points above half the rise, since the best level was left", stays_up
    ),
    "loss.early_progress": Signal(
        "share", "fall of the loss in the first 100 steps", early_progress
    ),
    "loss.end_of_start": Signal("ratio", "end level over start level", end_of_start),
}
