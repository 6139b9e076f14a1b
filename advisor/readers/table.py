"""Turning Columns into Runs: finding the step, repeated and decreasing steps, several runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from advisor.base.median import median
from advisor.base.numbers import count
from advisor.errors import NotALog, ReadError
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.columns import COUNTED, Columns, steps_of
from advisor.readers.objective import objective_of
from advisor.readers.options import ReadOptions
from advisor.readers.series import Placing, place, series_at
from advisor.run import Event, FloatArray, IntArray, Run, Series

MAX_RUNS = 200
MAX_RESUMES = 50


@dataclass(frozen=True, slots=True)
class TableSource:
    """The origin of columns, and what else the log stated."""

    path: str
    format: str
    facts: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()
    is_resumed: bool = False  # the events report a resume: decreasing steps begin no new run


def runs_of(columns: Columns, source: TableSource, options: ReadOptions) -> list[Run]:
    """Return the Runs of columns; NotALog without a metric, ReadError where --steps keeps none."""
    counts = {native: columns.count(native) for native in columns.data}
    chosen, guessed = choose(counts, options.map, source.path)
    if not any(map(names.is_telling, chosen)):
        raise NotALog(f"{source.path}: no metric found; name one with --map train/loss=COLUMN")
    main = chosen.get("train/loss") or next(iter(chosen.values()))
    steps, note = steps_of(columns, columns.column(main)[0], options.map)
    counted = {}
    if note == COUNTED and "train/loss" in chosen and counts[main] == columns.rows:
        counted["rows_counted"] = True
    parts, events, split_notes = _split(columns, steps, main, source.is_resumed)
    notes = (*source.notes, *([note] if note else []), *guessed, *split_notes)
    runs = []
    for number, (low, high) in enumerate(parts, 1):
        series, more = _series(columns, steps, chosen, (low, high), options)
        if not series:
            continue
        ident = str(number) if len(parts) > 1 else ""
        facts = {**source.facts, **counted}
        if "objective" not in facts and (objective := objective_of(series)):
            facts["objective"] = objective
        inside = tuple(e for e in events if low <= (e.line or 0) < high)
        runs.append(
            Run(
                source.path, source.format, series, ident,
                events=(*source.events, *(Event(e.kind, e.text, e.step) for e in inside)),
                notes=(*notes, *more), facts=facts,
            )
        )  # fmt: skip
    if not runs:
        raise ReadError(f"{source.path}: no point is left between the steps of --steps")
    return runs


def _split(
    columns: Columns, steps: FloatArray, main: str, one_run: bool
) -> tuple[list[tuple[int, int]], list[Event], list[str]]:
    """Return the row range of each run, the resumes, and notes.

    Where steps decrease back to about the first step a new run begins; a smaller decrease is a
    resume, or rows out of order if it is less than two logging intervals.
    """
    rows = columns.column(main)[0]
    at = steps[rows]
    change = np.diff(at)
    back = np.flatnonzero(change < 0)
    if one_run or not back.size:
        return [(0, columns.rows)], [], []
    gap = median(np.abs(change[change != 0]))
    far = back[-change[back] >= 2 * gap]
    again = at[far + 1] <= at[0] + 2 * gap
    cuts = [0, *(int(row) for row in rows[far[again] + 1][: MAX_RUNS - 1])]
    resumed = far[~again]
    events = [
        Event("resume", f"steps go back from {at[i]:g} to {at[i + 1]:g}", int(at[i + 1]),
              int(rows[i + 1]))
        for i in resumed[:MAX_RESUMES]
    ]  # fmt: skip
    notes = [e.text + ": taken as a resume, later rows win" for e in events[:3]]
    if resumed.size > 3:
        notes[-1] += f" ({resumed.size} such places)"
    if small := back.size - far.size:
        notes.append(f"{count(small, 'step')} out of order, sorted")
    if len(cuts) > 1:
        notes.append(f"the steps start again: {len(cuts)} runs in one log")
    return list(zip(cuts, [*cuts[1:], columns.rows], strict=True)), events, notes


def _series(
    columns: Columns,
    steps: FloatArray,
    chosen: Mapping[str, str],
    part: tuple[int, int],
    options: ReadOptions,
) -> tuple[dict[str, Series], list[str]]:
    epoch = columns.by_row((options.map.get("epoch", ""), *names.EPOCH))
    wall = columns.by_row((options.map.get("time", ""), *names.TIME))
    series: dict[str, Series] = {}
    dropped = 0
    placings: dict[int, Placing | None] = {}  # by the row numbers, which full columns share
    for name, native in sorted(chosen.items()):
        rows, values = columns.column(native)
        if id(rows) not in placings:
            placings[id(rows)] = _placing(rows, steps, part, options)
        placing = placings[id(rows)]
        if placing is not None:
            made = series_at(placing, name, values, native, epoch, wall)
            series[name] = made
            dropped = max(dropped, made.dropped)
    notes = (
        [f"{count(dropped, 'repeated step')} dropped: the last value of each is kept"]
        if dropped
        else []
    )
    return series, notes


def _placing(
    rows: IntArray, steps: FloatArray, part: tuple[int, int], options: ReadOptions
) -> Placing | None:
    if part != (0, steps.size):
        low, high = (int(np.searchsorted(rows, border)) for border in part)
    else:
        low, high = 0, rows.size
    inside = rows[low:high]
    found = place(steps if inside.size == steps.size else steps[inside], options.steps)
    if found is None:
        return None
    order = found.order
    if isinstance(order, slice):
        order = slice(low, high)
    elif low:
        order = order + low
    return Placing(found.steps, order, found.dropped, rows[order])
