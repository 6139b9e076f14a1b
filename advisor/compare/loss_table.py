"""Losses of several runs at the same steps: the table by which the guide compares runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from advisor.base.median import median
from advisor.findings import Best
from advisor.run import FloatArray, Run
from advisor.signals import View
from advisor.signals.best import best_point
from advisor.signals.robust import bent_noise, local_noise, running_median, window_for
from advisor.signals.validation import eval_noise

BoolArray = NDArray[np.bool_]

ROWS = 12  # few enough to read at a glance
RISES = 3.0  # noises of one evaluation that count as a rise, as in rule EP004
FLOOR = 0.001  # share of the loss: the noise of an evaluation is never taken as smaller


@dataclass(frozen=True, slots=True)
class Cell:
    """The loss of one run at one step."""

    value: float | None = None  # None outside the run's steps
    interpolated: bool = False  # between two evaluations
    rising: bool = False  # above the run's own lowest level by more than noise
    best: bool = False  # the lowest of its row


@dataclass(frozen=True, slots=True)
class LossRow:
    """The losses of all runs at one step."""

    step: int
    cells: tuple[Cell, ...]  # one for each run


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of the compared runs; its arrays have shape (n,)."""

    run: Run
    label: str
    steps: FloatArray
    values: FloatArray  # losses; training loss is smoothed
    noise: float  # standard error of one value
    rising: BoolArray  # whether each value lies above the lowest before it by more than noise
    best: Best | None = None


def contestant_of(run: Run, label: str, series: str) -> Contestant:
    """Return a run with its curve of one series: raw evaluations, or smoothed training loss."""
    view = View(run)
    raw, curve = run.series.get(series), view.curve(series)
    best = best_point(run)
    if raw is None:
        return Contestant(run, label, np.empty(0), np.empty(0), 0.0, np.empty(0, bool), best)
    steps, values = raw.steps.astype(np.float64), raw.values
    if not len(curve):
        return Contestant(run, label, steps, values, 0.0, np.zeros(values.size, bool), best)
    noise = _estimate_noise(view, series)
    if series != "eval/loss":
        smooth = np.interp(steps, curve.steps, curve.smooth)
        values = np.where(np.isfinite(values), smooth, values)
    return Contestant(run, label, steps, values, noise, _find_rising(values, noise), best)


def _estimate_noise(view: View, series: str) -> float:
    """Return the standard error of one value; the bend of a short curve does not count as noise."""
    curve = view.curve(series)
    floor = FLOOR * abs(median(curve.y))
    if series != "eval/loss":
        return max(floor, curve.noise / math.sqrt(window_for(len(curve))))
    past_the_bend = curve.y[len(curve) // 3 :]
    if past_the_bend.size < 5:
        return max(floor, eval_noise(view))
    return max(floor, min(local_noise(past_the_bend), bent_noise(past_the_bend)))


def _find_rising(values: FloatArray, noise: float) -> BoolArray:
    """Return for each value, (n,), whether it lies above the lowest level before it beyond noise.

    A level is a median of three values: the lowest single value is low by chance.
    """
    finite = np.where(np.isfinite(values), values, np.inf)
    lows = np.minimum.accumulate(running_median(finite, 3))
    before = np.concatenate([[np.inf], lows[:-1]])
    rising: BoolArray = np.isfinite(values) & (finite > before + RISES * noise)
    return rising


def align_losses(contestants: Sequence[Contestant], series: str) -> list[LossRow]:
    """Return a row for every step at which some run has a value.

    Steps closer than a fifth of the distance between evaluations share a row, so that a log that
    counts from 0 lines up with one that counts from 1.
    """
    known = [c for c in contestants if c.steps.size]
    every = np.unique(np.concatenate([c.steps for c in known])) if known else np.empty(0)
    if series != "eval/loss" and every.size > 4 * ROWS:
        every = every[np.unique(np.linspace(0, every.size - 1, 4 * ROWS).astype(int))]
    gaps = [median(np.diff(c.steps)) for c in known if c.steps.size > 1]
    slack = max(1.0, 0.2 * min(gaps)) if gaps and min(gaps) >= 3 else 0.0
    return [
        LossRow(int(last), _mark_best([_cell(c, first, last) for c in contestants]))
        for first, last in _cluster(every, slack)
    ]


def _cluster(steps: FloatArray, slack: float) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for step in steps.tolist():
        if found and step - found[-1][0] <= slack:
            found[-1] = (found[-1][0], step)
        else:
            found.append((step, step))
    return found


def _cell(contestant: Contestant, first: float, last: float) -> Cell:
    """Return the value within a cluster of steps, else the interpolated one, else an empty cell."""
    steps, values = contestant.steps, contestant.values
    at = int(np.searchsorted(steps, last, "right")) - 1
    if at >= 0 and steps[at] >= first:
        return Cell(float(values[at]), rising=bool(contestant.rising[at]))
    if at < 0 or at + 1 >= steps.size:
        return Cell()
    value = float(np.interp(last, steps[at : at + 2], values[at : at + 2]))
    return Cell(value, interpolated=True, rising=bool(contestant.rising[at : at + 2].all()))


def _mark_best(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    finite = [c.value for c in cells if c.value is not None and math.isfinite(c.value)]
    if len(finite) < 2:
        return tuple(cells)
    low = min(finite)
    return tuple(replace(cell, best=cell.value == low) for cell in cells)


def thin(rows: Sequence[LossRow], keep: int | None) -> tuple[LossRow, ...]:
    """Return at most ROWS rows, evenly spaced, including the last one and that of step ``keep``."""
    if len(rows) <= ROWS:
        return tuple(rows)
    chosen = set(np.linspace(0, len(rows) - 1, ROWS).round().astype(int).tolist())
    at = next((i for i, row in enumerate(rows) if row.step == keep), None)
    if at is not None and at not in chosen:
        inner = chosen - {0, len(rows) - 1}
        chosen -= {min(inner, key=lambda i: abs(i - at))}
        chosen.add(at)
    return tuple(rows[i] for i in sorted(chosen))
