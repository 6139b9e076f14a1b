"""The learning rate as it was logged: peak, warm-up, end, jumps, and whether it moves at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.base.median import median
from advisor.base.numbers import finite
from advisor.findings import Reading
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.curves import View
from advisor.signals.robust import Array

MIN_POINTS = 5
LEAST = 3  # rates needed to locate a schedule
SPENT = 0.15  # of the peak; below it weights move little
STUCK = 0.25  # of the peak; a standstill below it may be the schedule's floor
RESTART = 0.35  # of the peak; an intended restart comes at the end of a cycle
FLOOR = 0.02  # of the peak; at so low a floor weights hardly move
PER_PROCESS = 0.15  # of 1/N of the run: schedules end a little before or after it
NEAR_ZERO = 0.005  # of the peak; cosine to 1% of the peak, a common floor, stays above


def _lr(view: View) -> Array:
    return view.lr.last


def _rates_without_cuts(view: View) -> Array:
    """Return the planned rates: without the cuts of an advisor, to see the shape of the
    schedule."""
    cuts = view.run.facts.get("lr_cuts")
    lr = _lr(view)
    if not isinstance(cuts, list | tuple):
        return lr
    share = np.ones(len(lr))
    for step, factor in cuts:  # each replaces those before from its step on
        share[view.lr.steps >= step] = factor
    return np.asarray(lr / share)


def peak(view: View) -> Reading:
    if why := need(view.lr, 1):
        return missing(why)
    i = int(np.argmax(_lr(view)))
    return found(float(_lr(view)[i]), view.lr, i, i, f"peak {float(_lr(view)[i]):.3g}")


def end_ratio(view: View) -> Reading:
    """Last learning rate over the peak."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    top = float(_rates_without_cuts(view).max())
    if top <= 0:
        return missing("the learning rate is 0")
    n = len(view.lr)
    value = float(_rates_without_cuts(view)[-1]) / top
    return found(value, view.lr, n - 1, n - 1, f"ends at {value:.0%} of its peak")


def is_zero(view: View) -> Reading:
    """1 where the learning rate is 0 throughout, the first step aside."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    zero = bool((_lr(view)[1:] <= 0).all())
    return found(float(zero), view.lr, 0, len(view.lr) - 1, "0 throughout" if zero else "")


def zero_tail(view: View) -> Reading:
    """Share of the run at its end with a rate of nearly 0 after a higher one.

    The first such point is the schedule's own end, even where it is the last one.
    """
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr, n = _rates_without_cuts(view), len(view.lr)
    alive = np.flatnonzero(lr > NEAR_ZERO * lr.max())
    if lr.max() <= 0 or not alive.size:
        return Reading(0.0)
    last = int(alive[-1])
    share = (n - 2 - last) / n
    if share <= 0:
        return Reading(0.0)
    return found(share, view.lr, last + 1, n - 1, f"nearly 0 for the last {share:.0%} of the run")


def floor_tail(view: View) -> Reading:
    """Share of the run at its end with a rate of nearly 0 or on a floor of at most FLOOR of the
    peak: the schedule is over."""
    nearly = zero_tail(view)
    if nearly.value is None:
        return nearly
    lr, n = _rates_without_cuts(view), len(view.lr)
    moving = np.flatnonzero(np.abs(lr - lr[-1]) > 1e-6 * lr.max())
    share = (n - 2 - int(moving[-1])) / n if moving.size else 0.0
    if lr[-1] > FLOOR * lr.max() or share <= nearly.value:
        return nearly
    said = f"stays at {lr[-1]:.3g} for the last {share:.0%} of the run"
    return found(share, view.lr, int(moving[-1]) + 1, n - 1, said)


def ends_per_process(view: View) -> Reading:
    """1 where the schedule ends at 1/N of the run, N being the number of processes."""
    processes = finite(view.config.get("data.parallel"))
    if processes is None:
        return missing("data.parallel is not known: give --config or --set data.parallel=...")
    tail = floor_tail(view)
    if tail.value is None or processes < 2:
        return tail if tail.value is None else Reading(0.0)
    return Reading(float(abs((1.0 - tail.value) * processes - 1.0) < PER_PROCESS))


def warmup_share(view: View) -> Reading:
    """Share of the run spent rising to the peak."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr, steps = _rates_without_cuts(view), view.lr.steps
    top = int(np.argmax(lr >= 0.98 * lr.max()))
    span = float(steps[-1] - steps[0]) or 1.0
    return found(float(steps[top] - steps[0]) / span, view.lr, 0, top)


def rises_to_end(view: View) -> Reading:
    """1 where the run ends while the learning rate still rises."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr = _lr(view)
    rising = bool((np.diff(lr) > 0).mean() > 0.9 and lr[-1] >= 0.999 * lr.max() and lr[0] < lr[-1])
    return Reading(float(rising))


def in_warmup(view: View) -> Reading:
    """1 where the run ends while the learning rate still rises, 0 where no rate was logged: for
    rules that judge the loss without rates, too."""
    reading = rises_to_end(view)
    return Reading(0.0) if reading.value is None else reading


def _are_restarts(lr: Array, jumps: NDArray[np.int64]) -> bool:
    """Return whether rises of the rate are intended restarts: at least two, each from a low rate,
    in cycles of equal length or of lengths that grow by one factor."""
    cycles = np.diff(np.concatenate(([-1], jumps)))
    if jumps.size < 2 or bool((lr[jumps] > RESTART * lr.max()).any()):
        return False
    factors = cycles[1:] / cycles[:-1]
    slack = 0.1 + 1.5 / float(cycles.min())
    even = np.abs(factors - 1) < slack
    growing = (np.abs(factors / factors.mean() - 1) < slack) & (factors > 1)
    return bool(even.all() or (growing.all() and jumps.size >= 3))


def jumps(view: View) -> Reading:
    """Upward jumps by more than half after the warm-up: restarts or a broken schedule."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr = np.maximum(_rates_without_cuts(view), 0.0)
    top = lr.max()
    if top <= 0:
        return Reading(0.0)
    up = np.diff(lr)
    # a jump rises by a fifth of the peak to the next point and is not part of a ramp
    ramp = np.zeros_like(up, dtype=bool)
    ramp[1:] |= up[:-1] > 0.3 * up[1:]
    ramp[:-1] |= up[1:] > 0.3 * up[:-1]
    seen = np.maximum.accumulate(lr)[:-1] > 1.2 * lr[:-1]
    hot = np.flatnonzero((up > 0.2 * top) & (lr[1:] > 1.5 * lr[:-1]) & ~ramp & seen)
    if not hot.size or _are_restarts(lr, hot):
        return Reading(0.0)
    i = int(hot[0])
    text = f"jumps from {lr[i]:.3g} to {lr[i + 1]:.3g}"
    return found(float(hot.size), view.lr, i, i + 1, text)


def drops(view: View) -> Reading:
    """Sudden falls to less than half from one point to the next, before the last tenth."""
    if why := need(view.lr, 10):
        return missing(why)
    lr = np.maximum(_rates_without_cuts(view), 0.0)
    body = lr[: max(2, int(lr.size * 0.9))]
    fell = np.flatnonzero((body[1:] < 0.5 * body[:-1]) & (body[:-1] > 0.3 * lr.max()))
    if not fell.size:
        return Reading(0.0)
    i = int(fell[0])
    return found(float(fell.size), view.lr, i, i + 1, f"falls from {lr[i]:.3g} to {lr[i + 1]:.3g}")


def is_constant(view: View) -> Reading:
    """1 where the rate does not move after its first tenth."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr = _rates_without_cuts(view)[len(view.lr) // 10 :]
    return Reading(float(np.ptp(lr) <= 1e-3 * lr.max()))


def stuck_share(view: View) -> Reading:
    """Longest stretch of one rate within the schedule, as a share of the points. The schedule also
    stands still at steps that a loss scaler skips."""
    if why := need(view.lr, 12):
        return missing(why)
    lr, n = _rates_without_cuts(view), len(view.lr)
    same = np.diff(lr) == 0
    if same.mean() > 0.9:  # a constant rate
        return Reading(0.0)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.astype(np.int8), [0]))))
    runs = [
        (int(b - a), int(a))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if STUCK * lr.max() < lr[a] < 0.999 * lr.max()
    ]
    if not runs:
        return Reading(0.0)
    length, at = max(runs)
    return found(length / n, view.lr, at, at + length, f"stays at {lr[at]:.3g}")


def mean_late(view: View) -> Reading:
    """Mean rate of the last two thirds over the peak: how far the run could still move."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr = _lr(view)
    top = float(lr.max())
    if top <= 0:
        return missing("the learning rate is 0")
    return Reading(float(lr[lr.size // 3 :].mean()) / top)


def _last(view: View) -> int:
    """Return how many points the final rate is read from: fewer where few were logged."""
    return max(1, min(3, len(_lr(view)) // 6))


def spent(view: View) -> Reading:
    """1 where the schedule is known to be at its end (below 15% of the peak), else 0.

    Without logged rates, the config's decay style and the planned steps decide.
    """
    if len(view.lr) >= LEAST and float(_lr(view).max()) > 0:
        end = median(_lr(view)[-_last(view) :])
        return Reading(float(end < SPENT * float(_lr(view).max())))
    style = view.config.get("lr_scheduler.lr_decay_style")
    planned = view.run.facts.get("max_steps")
    if style and "constant" not in str(style) and isinstance(planned, int | float) and planned > 0:
        return Reading(float(len(view.loss) > 0 and view.loss.steps[-1] > 0.85 * planned))
    return Reading(0.0)


def cooled(view: View) -> Reading:
    """1 where the rate stayed near its peak for most of the run and then fell to its end. The last
    fall of the loss is then due to the falling rate, and is over."""
    rates = _lr(view)
    if len(rates) < LEAST or float(rates.max()) <= 0:
        return Reading(0.0)
    held = float(rates[int(0.6 * len(rates))]) > 0.8 * float(rates.max())
    return Reading(float(held and median(rates[-_last(view) :]) < SPENT * float(rates.max())))


def unknown(view: View) -> Reading:
    """1 where no learning rate was logged."""
    return Reading(float(len(view.lr) < LEAST))


def high(view: View) -> Reading:
    """1 where the rate stays above half its peak over the last two thirds of the run."""
    if why := need(view.lr, MIN_POINTS):
        return missing(why)
    lr = _lr(view)
    top = float(lr.max())
    late = lr[lr.size // 3 :]
    return Reading(float(top > 0 and float(np.quantile(late, 0.1)) > 0.5 * top))


SIGNALS = {
    "lr.spent": Signal("0 or 1", "the schedule is known to be at its end", spent),
    "lr.cooled": Signal("0 or 1", "the rate stayed near its peak, then fell to its end", cooled),
    "lr.high": Signal("0 or 1", "the rate stays above half its peak to the end", high),
    "lr.unknown": Signal("0 or 1", "no learning rate was logged", unknown),
    "lr.peak": Signal("rate", "highest logged learning rate", peak),
    "lr.end_ratio": Signal("share", "last learning rate over the peak", end_ratio),
    "lr.zero": Signal("0 or 1", "the learning rate is 0 throughout", is_zero),
    "lr.zero_tail": Signal("share", "share of the run at its end with a rate near 0", zero_tail),
    "lr.floor_tail": Signal(
        "share",
        "share of the run at its end with a rate near 0 or on a low floor",
        floor_tail,
    ),
    "lr.ends_per_process": Signal(
        "0 or 1", "the schedule ends at 1/N of the run (N processes)", ends_per_process
    ),
    "lr.warmup_share": Signal("share", "share of the run in which the rate rises", warmup_share),
    "lr.rises_to_end": Signal("0 or 1", "the run ends within its warm-up", rises_to_end),
    "lr.in_warmup": Signal("0 or 1", "the run is known to end within its warm-up", in_warmup),
    "lr.jumps": Signal("jumps", "sudden rises of the rate after the warm-up", jumps),
    "lr.drops": Signal("drops", "sudden falls of the rate before the last tenth", drops),
    "lr.constant": Signal("0 or 1", "the rate does not move after the first tenth", is_constant),
    "lr.stuck_share": Signal("share", "longest stretch of one rate within a schedule", stuck_share),
    "lr.mean_late": Signal("share", "mean rate of the last two thirds over the peak", mean_late),
}
