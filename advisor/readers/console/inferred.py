"""Inferring the steps of printed dictionaries that state none: from a progress bar, or counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from advisor.readers.console.rows import BAR, BAR_TOTAL, EPOCH, LINE, Floats, Ints, Part

UNIT = 0.01  # of an epoch: the precision of two digits
PAIRED = 0.9  # share of rows that must repeat a neighbouring row for two parts to be twins


def infer_steps(
    parts: Sequence[Part], chosen: Sequence[int], facts: dict[str, object], notes: list[str]
) -> dict[int, Floats]:
    """Return number of the part -> steps of its rows for the chosen parts; add notes and facts."""
    main = max(chosen, key=lambda n: parts[n].places.shape[0])
    twins = {n: _rows_repeated(parts[n], parts[main]) for n in chosen if n != main}
    again = {n: at for n, at in twins.items() if at is not None}
    own = [n for n in chosen if n not in again]
    places = np.concatenate([parts[n].places for n in own])
    order = np.argsort(places[:, LINE], kind="stable")
    places = places[order]
    steps = _from_bar(places)
    if steps is not None:
        notes.append("no step in the log: taken from the progress bar beside each row")
    else:
        steps = _count_steps(places, facts, notes)
    back = np.empty_like(steps)
    back[order] = steps
    ends = np.cumsum([parts[n].places.shape[0] for n in own])
    result = dict(zip(own, np.split(back, ends[:-1]), strict=True))
    result.update({n: result[main][at] for n, at in again.items()})
    return result


def _rows_repeated(part: Part, main: Part) -> Ints | None:
    """Return which row of ``main`` each row repeats, as a second logger prints; None if not so."""
    if "loss" not in part.block.keys or "loss" not in main.block.keys:
        return None
    lines, others = part.places[:, LINE], main.places[:, LINE]
    mine = part.values[:, part.block.keys.index("loss")]
    theirs = main.values[:, main.block.keys.index("loss")]
    if mine.size < 3 or np.mean(mine[1:] == mine[:-1]) > 0.5:
        return None
    after = np.searchsorted(others, lines)
    for at in (np.maximum(after - 1, 0), np.minimum(after, others.size - 1)):
        same = np.isclose(mine, theirs[at], rtol=1e-3, atol=1e-4)
        same &= np.abs(part.places[:, EPOCH] - main.places[at, EPOCH]) <= UNIT
        if np.mean(same) >= PAIRED and np.unique(at).size == at.size:
            return np.asarray(at, dtype=np.int64)
    return None


def _from_bar(places: Floats) -> Floats | None:
    """Return the bar's count at each row; None unless most rows have a bar that moves with them."""
    ends = places[:, BAR_TOTAL]
    known = ends[np.isfinite(ends)]
    if known.size < 0.5 * ends.size or not known.size:
        return None
    kinds, counts = np.unique(known, return_counts=True)
    end = kinds[np.argmax(counts)]
    mine = ends == end
    bars = np.where(mine, places[:, BAR], np.nan)
    values = bars[mine]
    if np.unique(values).size < 0.8 * values.size or np.any(np.diff(values) < 0):
        return None
    index = np.arange(bars.size)
    if values.size == 1:
        return np.arange(1.0, index.size + 1)
    late, first = _lag(values, places[mine, EPOCH]), int(np.flatnonzero(mine)[0])
    filled: Floats = np.interp(index, index[mine], values + late)
    filled[:first] -= late * (first - index[:first])  # count back to rows before the first bar
    return filled


def _lag(bars: Floats, epochs: Floats) -> float:
    """Return the steps by which the bar lags: one row's where it is printed after each row.

    The bar and the epoch are 0 at the same time, so the bar's count at epoch 0 shows the lag.
    """
    gaps = np.diff(bars)
    if not np.isfinite(epochs).all() or bars.size < 3 or np.any(gaps != gaps[0]):
        return 0.0
    if epochs[-1] <= epochs[0]:
        return 0.0
    at_start = bars[0] - epochs[0] * (bars[-1] - bars[0]) / (epochs[-1] - epochs[0])
    return float(gaps[0]) if abs(at_start + gaps[0]) < 0.25 * gaps[0] else 0.0


def _count_steps(places: Floats, facts: dict[str, object], notes: list[str]) -> Floats:
    """Return the row number times the logging interval, plus the rows missing before the log."""
    count = places.shape[0]
    missed, resumed = _count_missed(places[:, EPOCH]), facts.get("resumed_at")
    apart = interval_of(count + missed, facts)
    begin = missed * (apart or 1)
    if missed and isinstance(resumed, int):
        apart = apart or max(1, round(resumed / missed))
        begin = resumed if 0.5 < resumed / (missed * apart) < 2 else missed * apart
    interval = apart or 1
    if apart is None:
        facts["rows_counted"] = True
    if missed:
        notes.append(f"the log begins in mid-run: about {missed:,} rows before it are missing")
    notes.append(
        f"no step in the log: rows are counted, {interval} steps apart"
        if interval > 1
        else f"no step in the log: rows are counted from {1 + begin}"
    )
    return begin + np.arange(1.0, count + 1) * interval


def _count_missed(epochs: Floats) -> int:
    """Return how many rows are missing before the log by its epochs; 0 unless that is certain.

    The count must exceed 3 by three times the error that rounding of the epochs (UNIT) allows.
    """
    if epochs.size < 5 or not np.isfinite(epochs).all() or np.all(epochs == np.floor(epochs)):
        return 0
    gap = float(epochs[-1] - epochs[0]) / (epochs.size - 1)
    if gap <= 0:
        return 0
    missed = float(epochs[0]) / gap - 1
    unsure = UNIT / gap + (missed + 1) * UNIT / (gap * (epochs.size - 1))
    return round(missed) if missed > 3 + 3 * unsure and missed < 1e9 else 0


def interval_of(count: int, facts: Mapping[str, object]) -> int | None:
    """Return the steps from row to row of a log with ``count`` rows; None where unknown."""
    stated = facts.get("logging_steps")
    if isinstance(stated, int) and 0 < stated < 1e9:
        return stated
    total = _planned_steps(facts)
    if total is None or "train_runtime" not in facts:
        return None  # the run may not have ended, so the count of rows is not final
    return max(1, round(total / count))


def _planned_steps(facts: Mapping[str, object]) -> float | None:
    """Return the optimiser steps of the whole run, stated or by the closing speed."""
    stated = facts.get("max_steps")
    if isinstance(stated, int | float) and 0 < stated < 1e12:
        return float(stated)
    seconds, speed = facts.get("train_runtime"), facts.get("train_steps_per_second")
    if isinstance(seconds, int | float) and isinstance(speed, int | float):
        guess = float(seconds) * float(speed)
        return guess if 0 < guess < 1e12 else None
    return None
