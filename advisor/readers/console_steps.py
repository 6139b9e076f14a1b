"""Which run and which step each row of a console log belongs to, stated or inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.readers.console_rows import Block
from advisor.readers.epochs import across_epochs

LINE, STEP, TOTAL, EPOCH, BAR, BAR_TOTAL = range(6)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one block that belong to one run."""

    block: Block
    values: Floats
    places: Floats


@dataclass(frozen=True, slots=True)
class Placed:
    """A part with the step of each row."""

    part: Part
    steps: Ints
    follows: bool = False  # the closing line of an epoch beside rows that have steps


def place_rows(parts: list[Part], facts: Mapping[str, object]) -> tuple[list[Placed], list[str]]:
    """The step of each row of one run, and notes on how those were found."""
    notes: list[str] = []
    steps: dict[int, Floats] = {}
    for number, part in enumerate(parts):
        if np.isfinite(part.places[:, STEP]).all():
            steps[number] = across_epochs(
                part.places[:, STEP], part.places[:, EPOCH], part.places[:, TOTAL]
            )
    dicts = [n for n, part in enumerate(parts) if n not in steps and part.block.kind == "dict"]
    followers = {n for n in dicts if _is_evaluation(parts[n])}
    trained = [n for n in dicts if n not in followers]
    stated = sum(parts[n].places.shape[0] for n in steps if parts[n].block.kind == "dict")
    if trained and stated >= sum(parts[n].places.shape[0] for n in trained):
        _follow(parts, trained, steps, ahead=1.0)  # the same lines cut off before their step
    elif trained:
        steps.update(_inferred(parts, trained, facts, notes))
    for number, part in enumerate(parts):
        if number not in steps and number not in followers and not _one_each_epoch(part):
            count = part.places.shape[0]
            steps[number] = np.arange(1, count + 1, dtype=np.float64)
            if count > 1:
                notes.append("no step in the log: rows are counted from 1")
    waiting = [n for n in range(len(parts)) if n not in steps]
    if waiting and not steps:
        notes.append("no step in the log: epochs serve as steps")
        if all(np.isnan(parts[n].places[:, EPOCH]).all() for n in waiting):
            steps.update({n: np.arange(1.0, len(parts[n].places) + 1) for n in waiting})
        else:
            for n in waiting:
                epochs = parts[n].places[:, EPOCH]
                fraction = np.isfinite(epochs).any() and np.any(epochs != np.floor(epochs))
                count = np.arange(1.0, epochs.size + 1)
                steps[n] = count if fraction else np.nan_to_num(epochs)
    else:
        _follow(parts, waiting, steps)
    placed = [
        Placed(
            part,
            np.clip(np.rint(steps[n]), -(2.0**62), 2.0**62).astype(np.int64),
            n in waiting and len(waiting) < len(parts) and part.block.kind == "pairs",
        )
        for n, part in enumerate(parts)
    ]
    return placed, list(dict.fromkeys(notes))


def _is_evaluation(part: Part) -> bool:
    """Whether a dictionary holds an evaluation: it takes the step of the row before it."""
    keys = [key for key in part.block.keys if key != "epoch"]
    if part.block.split:
        return True
    return bool(keys) and all(key.startswith(("eval", "test", "val")) for key in keys)


def _one_each_epoch(part: Part) -> bool:
    epochs = part.places[:, EPOCH]
    if part.block.kind == "progress":
        return True
    return bool(np.isfinite(epochs).all()) and np.unique(epochs).size > 0.67 * epochs.size


def _inferred(
    parts: list[Part], chosen: list[int], facts: Mapping[str, object], notes: list[str]
) -> dict[int, Floats]:
    """Steps of dictionaries without one: from the bar, or from the count of the rows."""
    places = np.concatenate([parts[n].places for n in chosen])
    order = np.argsort(places[:, LINE], kind="stable")
    places = places[order]
    count = places.shape[0]
    steps = _from_bar(places)
    if steps is not None:
        notes.append("no step in the log: taken from the progress bar before each row")
    else:
        total = _total(facts)
        interval = _interval(total, count, facts)
        steps = np.arange(1.0, count + 1) * interval
        notes.append(
            f"no step in the log: rows are counted, {interval} steps apart"
            if interval > 1
            else "no step in the log: rows are counted from 1"
        )
    back = np.empty_like(steps)
    back[order] = steps
    result = {}
    at = 0
    for n in chosen:
        size = parts[n].places.shape[0]
        result[n] = back[at : at + size]
        at += size
    return result


def _from_bar(places: Floats) -> Floats | None:
    """The bar's counts, where there is one for most rows and it moves with them."""
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
    return _between(index, index[mine], values) if values.size > 1 else _counted(index.size)


def _counted(count: int) -> Floats:
    return np.arange(1, count + 1, dtype=np.float64)


def _between(at: Ints, known: Ints, values: Floats) -> Floats:
    """Values at rows between those where the bar was seen."""
    filled: Floats = np.asarray(np.interp(at, known, values), dtype=np.float64)
    return filled


def _total(facts: Mapping[str, object]) -> float | None:
    """Optimiser steps of the whole run, stated or from the closing speed."""
    stated = facts.get("max_steps")
    if isinstance(stated, int | float) and 0 < stated < 1e12:
        return float(stated)
    seconds, speed = facts.get("train_runtime"), facts.get("train_steps_per_second")
    if isinstance(seconds, int | float) and isinstance(speed, int | float):
        guess = float(seconds) * float(speed)
        return guess if 0 < guess < 1e12 else None
    return None


def _interval(total: float | None, count: int, facts: Mapping[str, object]) -> int:
    stated = facts.get("logging_steps")
    if isinstance(stated, int) and 0 < stated < 1e9:
        return stated
    if total is None or "train_runtime" not in facts:
        return 1  # of a run that has not ended, the count says nothing
    return max(1, round(total / count))


def _follow(
    parts: list[Part], waiting: list[int], steps: dict[int, Floats], ahead: float = 0.0
) -> None:
    """Rows without a step take that of the nearest row before them."""
    if not waiting:
        return
    lines = np.concatenate([parts[n].places[:, LINE] for n in steps])
    known = np.concatenate([steps[n] for n in steps])
    order = np.argsort(lines, kind="stable")
    lines, known = lines[order], known[order]
    for n in waiting:
        at = np.searchsorted(lines, parts[n].places[:, LINE], side="right") - 1
        steps[n] = np.where(at >= 0, known[np.maximum(at, 0)], 0.0) + ahead
