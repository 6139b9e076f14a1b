"""Logs that were rotated, truncated or started over: whether the same run continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from advisor.readers.series import make_series
from advisor.run import Event, FloatArray, Run, Series

Turn = Literal["grown", "continued", "restarted"]
CLOSE = 2e-3  # relative difference: a log that continues a run may round its values
START = 10  # points: a log that begins among the first points of a run is a restart of it


def continue_run(before: Run, now: Run, replaced: bool) -> tuple[Run, Turn]:
    """Return the run so far, and whether the log has grown, continues a run, or restarted.

    ``replaced``: the log is another file than before, or a shorter one. After a rotation the new
    file continues where the old one ends, and the run is both files joined.
    """
    old, new = main_series(before), main_series(now)
    if old is None:
        return now, "grown"
    if new is None:  # the file was emptied: keep what was read
        return before, "grown"
    if replaced and int(new.steps[0]) > int(old.steps[min(START, len(old)) - 1]):
        return merge(before, now), "continued"
    return now, "grown" if _is_rewritten(old, new) and not _is_shorter(before, now) else "restarted"


def main_series(run: Run) -> Series | None:
    """Return the series that shows the progress of a run: its loss, else the longest one."""
    loss = run.series.get("train/loss")
    if loss is not None and len(loss):
        return loss
    return max((s for s in run.series.values() if len(s)), key=len, default=None)


def last_step(run: Run) -> int:
    """Return the last step that any metric was logged at."""
    return max((int(series.steps[-1]) for series in run.series.values() if len(series)), default=0)


def _is_shorter(before: Run, now: Run) -> bool:
    """Return whether a log that went back plans another number of steps, so is another run.

    Values alone are not enough: two runs may share their first steps.
    """
    plans = (before.facts.get("max_steps"), now.facts.get("max_steps"))
    return last_step(now) < last_step(before) and None not in plans and plans[0] != plans[1]


def _is_rewritten(old: Series, new: Series) -> bool:
    """Return whether a log was rewritten with the same values, as Trainer's state file is at each
    checkpoint."""
    shared, here, there = np.intersect1d(
        old.steps, new.steps, assume_unique=True, return_indices=True
    )
    if not shared.size:
        return False
    same = np.isclose(old.values[here], new.values[there], rtol=CLOSE, equal_nan=True)
    return bool(np.mean(same) > 0.5)


def merge(before: Run, now: Run, is_resumed: bool = True) -> Run:
    """Return the run that joins a log and its continuation.

    Where steps go back and ``is_resumed`` is True, a resume event is added.
    """
    series = dict(before.series)
    for name, one in now.series.items():
        series[name] = _join_series(series[name], one) if name in series else one
    at = min((int(one.steps[0]) for one in now.series.values() if len(one)), default=0)
    events = [*before.events, *(e for e in now.events if is_resumed or e not in before.events)]
    back = is_resumed and at <= last_step(before)
    if back and not any(e.kind == "resume" for e in now.events):
        said = f"steps go back from {last_step(before)} to {at}"
        events.insert(len(before.events), Event("resume", said, at))
    return replace(now, series=series, events=tuple(events), facts={**before.facts, **now.facts})


def add_parts(before: Run, parts: Sequence[Run], now: Run) -> Run:
    """Return the run with the rotated files of its log added, the oldest first.

    A file belongs to the run if it repeats known rows, or lies between them and ``now``.
    """
    for part in sorted(parts, key=first_step):
        series, new = main_series(before), main_series(part)
        if series is None or new is None or new.steps[-1] <= series.steps[-1]:
            continue
        shared = np.intersect1d(series.steps, new.steps)
        between = not shared.size and new.steps[-1] < first_step(now)
        if between or _is_rewritten(series, new):
            before = merge(before, part, is_resumed=False)
    return before


def first_step(run: Run) -> int:
    """Return the first step of a run's main series, 0 where it has none."""
    series = main_series(run)
    return 0 if series is None else int(series.steps[0])


def _join_series(one: Series, other: Series) -> Series:
    """Return two consecutive Series as one; where both have a step, the later value counts."""
    steps = np.concatenate([one.steps, other.steps]).astype(np.float64)
    made = make_series(
        one.name,
        steps,
        np.concatenate([one.values, other.values]),
        other.native or one.native,
        _join_columns(one.epochs, other.epochs, one, other),
        _join_columns(one.times, other.times, one, other),
    )
    if made is None:
        return other
    return replace(made, dropped=made.dropped + one.dropped + other.dropped)


def _join_columns(
    first: FloatArray | None, second: FloatArray | None, one: Series, other: Series
) -> FloatArray | None:
    if first is None and second is None:
        return None
    missing = [np.full(len(series), np.nan) for series in (one, other)]
    halves = (first, missing[0]), (second, missing[1])
    return np.concatenate([gap if half is None else half for half, gap in halves])
