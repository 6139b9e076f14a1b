"""Rows of named numbers -> Runs: the step, repeated and backward steps, several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from advisor.errors import ReadError
from advisor.readers import names
from advisor.readers.options import ReadOptions
from advisor.run import Event, FloatArray, IntArray, Run, Series

MAX_RUNS = 200


@dataclass(slots=True)
class Columns:
    """Sparse columns: for each native name the row numbers and values that are there.

    ``rows`` counts all rows. A value may be NaN or infinite: that was logged.
    """

    rows: int = 0
    data: dict[str, tuple[list[IntArray], list[FloatArray]]] = field(default_factory=dict)

    def add(self, name: str, rows: IntArray, values: FloatArray) -> None:
        if rows.size:
            parts = self.data.setdefault(name, ([], []))
            parts[0].append(rows)
            parts[1].append(values)

    def column(self, name: str) -> tuple[IntArray, FloatArray]:
        rows, values = self.data[name]
        if len(rows) > 1:
            self.data[name] = rows, values = [np.concatenate(rows)], [np.concatenate(values)]
        return rows[0], values[0]


@dataclass(frozen=True, slots=True)
class Source:
    """Where columns came from, and what else the log said."""

    path: str
    format: str
    facts: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()


def to_float(value: object) -> float | None:
    """Read a number from what a log holds: numbers, 'nan', '1e-4', '10/3820', '5%'; else None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if isinstance(value, str) and len(value) < 64:
        text = value.strip().rstrip("%")
        head, slash, tail = text.partition("/")
        if slash and not tail.strip().isdigit():
            return None
        try:
            return float(head.replace(",", "") if head.count(",") else head)
        except ValueError:
            return None
    return None


def runs_of(columns: Columns, source: Source, options: ReadOptions) -> list[Run]:
    """Turn columns into Runs; ReadError where there is no metric at all."""
    for wanted in options.map.values():
        if wanted not in columns.data:
            have = ", ".join(sorted(columns.data)[:20])
            raise ReadError(f"{source.path}: no column '{wanted}' to map; there are: {have}")
    steps, step_name, note = _steps(columns)
    chosen = _choose(columns, options, step_name)
    if not chosen:
        raise ReadError(f"{source.path}: no metric found; name one with --map train/loss=COLUMN")
    parts, events, said = _split(columns, steps, chosen)
    notes = (*source.notes, *([note] if note else []), *said)
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
        )
    if not runs:
        raise ReadError(f"{source.path}: no point is left between the steps of --steps")
    return runs


def _steps(columns: Columns) -> tuple[FloatArray, str, str]:
    """Return the step of every row (NaN where unknown), the column's name, and a note."""
    by_name = {names.plain(n): n for n in columns.data}
    for wanted in names.STEP:
        native = by_name.get(wanted)
        if native is None:
            continue
        steps = np.full(columns.rows, np.nan)
        rows, values = columns.column(native)
        steps[rows] = values
        if np.isfinite(steps).sum() >= 0.3 * columns.rows:
            return _fill(steps), native, ""
    for wanted in names.EPOCH:
        native = by_name.get(wanted)
        if native is None:
            continue
        rows, values = columns.column(native)
        finite = values[np.isfinite(values)]
        if np.unique(finite).size > 0.8 * max(1, columns.rows):
            steps = np.full(columns.rows, np.nan)
            steps[rows] = values
            whole = bool((finite == np.round(finite)).all())
            if whole:
                return _fill(steps), native, "no step in the log: epochs are taken as steps"
    return np.arange(1.0, columns.rows + 1), "", "no step in the log: rows are counted"


def _fill(steps: FloatArray) -> FloatArray:
    """Give rows without a step that of the row before."""
    known = np.isfinite(steps)
    if known.all():
        return steps
    index = np.maximum.accumulate(np.where(known, np.arange(steps.size), -1))
    return np.where(index >= 0, steps[np.maximum(index, 0)], steps[known][0])


def _choose(columns: Columns, options: ReadOptions, step_name: str) -> dict[str, str]:
    """Pick one column for each canonical name: the one with the most points."""
    skip = {step_name} | set(options.map.values())
    chosen: dict[str, str] = {}
    for native in columns.data:
        folded = names.plain(native)
        if native in skip or folded in names.STEP or folded in names.EPOCH or folded in names.TIME:
            continue
        name = names.canonical(native)
        if name not in chosen or _count(columns, native) > _count(columns, chosen[name]):
            chosen[name] = native
    chosen.update(options.map)
    if "train/loss" not in chosen and "train/epoch_loss" in chosen:
        chosen["train/loss"] = chosen.pop("train/epoch_loss")
    if "eval/loss" not in chosen:
        other = next((n for n in chosen if n == "test/loss"), None) or next(
            (n for n in chosen if n.startswith("eval/") and n.endswith("/loss")), None
        )
        if other:
            chosen["eval/loss"] = chosen.pop(other)
    return chosen


def _count(columns: Columns, native: str) -> int:
    return sum(part.size for part in columns.data[native][0])


def _split(
    columns: Columns, steps: FloatArray, chosen: Mapping[str, str]
) -> tuple[list[tuple[int, int]], list[Event], list[str]]:
    """Cut rows where a new run begins; smaller steps back are resumes."""
    main = chosen.get("train/loss") or next(iter(chosen.values()))
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
    epoch = _by_row(columns, names.EPOCH)
    wall = _by_row(columns, names.TIME)
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


def _by_row(columns: Columns, wanted: Sequence[str]) -> FloatArray | None:
    by_name = {names.plain(n): n for n in columns.data}
    native = next((by_name[w] for w in wanted if w in by_name), None)
    if native is None:
        return None
    out = np.full(columns.rows, np.nan)
    rows, values = columns.column(native)
    out[rows] = values
    return out


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
