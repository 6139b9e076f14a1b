"""Rows of named numbers -> Runs: the step, repeated and backward steps, several runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from advisor.errors import ReadError
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.columns import Columns, steps_of
from advisor.readers.options import ReadOptions
from advisor.run import Event, FloatArray, Run, Series

MAX_RUNS = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Where columns came from, and what else the log said."""

    path: str
    format: str
    facts: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()


def runs_of(columns: Columns, source: Source, options: ReadOptions) -> list[Run]:
    """Turn columns into Runs; ReadError where there is no metric at all."""
    counts = {native: columns.count(native) for native in columns.data}
    chosen, guessed = choose(counts, options.map, source.path)
    if not chosen:
        raise ReadError(f"{source.path}: no metric found; name one with --map train/loss=COLUMN")
    main = chosen.get("train/loss") or next(iter(chosen.values()))
    steps, note = steps_of(columns, columns.column(main)[0], options.map)
    parts, events, said = _split(columns, steps, main)
    notes = (*source.notes, *([note] if note else []), *guessed, *said)
    runs = []
    for number, (low, high) in enumerate(parts, 1):
        series, more = _series(columns, steps, chosen, (low, high), options)
        if not series:
            continue
        ident = str(number) if len(parts) > 1 else ""
        inside = tuple(e for e in events if low <= (e.line or 0) < high)
        runs.append(
            Run(
                source.path, source.format, series, ident,
                events=(*source.events, *(Event(e.kind, e.text, e.step) for e in inside)),
                notes=(*notes, *more), facts=source.facts,
            )
        )  # fmt: skip
    if not runs:
        raise ReadError(f"{source.path}: no point is left between the steps of --steps")
    return runs


def _split(
    columns: Columns, steps: FloatArray, main: str
) -> tuple[list[tuple[int, int]], list[Event], list[str]]:
    """Cut rows where a new run begins; smaller steps back are resumes."""
    rows = columns.column(main)[0]
    at = steps[rows]
    back = np.flatnonzero(np.diff(at) < 0)
    if not back.size:
        return [(0, columns.rows)], [], []
    gap = float(np.median(np.abs(np.diff(at))[np.diff(at) != 0]))
    cuts, events, small = [0], [], 0
    for i in back:
        last, new = at[i], at[i + 1]
        if last - new < 2 * gap:
            small += 1
        elif new <= at[0] + 2 * gap and len(cuts) < MAX_RUNS:
            cuts.append(int(rows[i + 1]))
        else:
            text = f"steps go back from {last:g} to {new:g}"
            events.append(Event("resume", text, int(new), int(rows[i + 1])))
    notes = [e.text + ": taken as a resume, later rows win" for e in events[:3]]
    if small:
        notes.append(f"{small} steps out of order were sorted")
    if len(cuts) > 1:
        notes.append(f"the steps start again {len(cuts) - 1} times: {len(cuts)} runs")
    return list(zip(cuts, [*cuts[1:], columns.rows], strict=True)), events, notes


def _series(
    columns: Columns, steps: FloatArray, chosen: Mapping[str, str],
    part: tuple[int, int], options: ReadOptions,
) -> tuple[dict[str, Series], list[str]]:
    epoch = columns.by_row((options.map.get("epoch", ""), *names.EPOCH))
    wall = columns.by_row((options.map.get("time", ""), *names.TIME))
    series: dict[str, Series] = {}
    dropped = 0
    for name, native in sorted(chosen.items()):
        rows, values = columns.column(native)
        inside = (rows >= part[0]) & (rows < part[1])
        rows, values = rows[inside], values[inside]
        made = make_series(
            name, steps[rows], values, native,
            None if epoch is None else epoch[rows], None if wall is None else wall[rows],
            options.steps,
        )
        if made is not None:
            series[name] = made
            dropped = max(dropped, made.dropped)
    notes = [f"{dropped} repeated steps were dropped, the last one wins"] if dropped else []
    return series, notes


def make_series(
    name: str, steps: FloatArray, values: FloatArray, native: str = "",
    epochs: FloatArray | None = None, times: FloatArray | None = None,
    between: tuple[int | None, int | None] | None = None,
) -> Series | None:
    """Sort by step, keep the last of each step, cut to ``between``; None when nothing is left."""
    good = np.isfinite(steps) & (np.abs(steps) < 2**62)
    order = np.flatnonzero(good)
    whole = np.rint(steps[order]).astype(np.int64)
    if whole.size > 1 and not bool((np.diff(whole) > 0).all()):
        sort = np.argsort(whole, kind="stable")
        whole, order = whole[sort], order[sort]
        last = np.append(np.diff(whole) > 0, True)
        whole, order = whole[last], order[last]
    dropped = int(good.sum()) - whole.size
    if between is not None:
        low, high = between
        inside = np.ones(whole.size, dtype=bool)
        if low is not None:
            inside &= whole >= low
        if high is not None:
            inside &= whole <= high
        whole, order = whole[inside], order[inside]
    if not whole.size:
        return None
    return Series(
        name, whole, values[order],
        None if epochs is None or not np.isfinite(epochs[order]).any() else epochs[order],
        None if times is None else times[order], native, dropped,
    )
