"""Which run and which step each row of a console log belongs to, stated or inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from advisor.readers import names
from advisor.readers.console.inferred import infer_steps, interval_of
from advisor.readers.console.rows import (
    BAR,
    BAR_TOTAL,
    EPOCH,
    LINE,
    STEP,
    TOTAL,
    Floats,
    Ints,
    Part,
)
from advisor.readers.epochs import across_epochs

FEWER = 3  # times the rows of a run that its epochs have at least
ROUNDED = 0.011  # of an epoch: logs give it with two digits


@dataclass(frozen=True, slots=True)
class Placed:
    """A part with the step of each row."""

    part: Part
    steps: Ints
    follows: bool = False  # the closing line of an epoch beside rows that have steps


def place_rows(parts: list[Part], facts: dict[str, object]) -> tuple[list[Placed], list[str]]:
    """Return the step of each row of one run, and notes on how those were found."""
    notes: list[str] = []
    steps: dict[int, Floats] = {}
    for number, part in enumerate(parts):
        if np.isfinite(part.places[:, STEP]).all():
            steps[number] = across_epochs(
                part.places[:, STEP], part.places[:, EPOCH], part.places[:, TOTAL]
            )
    most = max(map(_rows, parts))
    followers = {
        n for n, part in enumerate(parts)
        if n not in steps and (_is_evaluation(part) or _closes(part, most))
    }  # fmt: skip
    trained = [
        n for n, part in enumerate(parts)
        if part.block.kind == "dict" and n not in steps and n not in followers
    ]  # fmt: skip
    stated = sum(_rows(parts[n]) for n in steps if parts[n].block.kind == "dict")
    if trained and stated >= sum(_rows(parts[n]) for n in trained):
        _follow(parts, trained, steps, ahead=1.0)  # the same lines cut off before their step
    elif trained and not steps and _by_epochs(parts, trained, [*followers], facts):
        steps.update({n: parts[n].places[:, EPOCH] for n in (*trained, *followers)})
        notes.append("no step in the log: epochs serve as steps")
    elif trained:
        steps.update(infer_steps(parts, trained, facts, notes))
    for number, part in enumerate(parts):
        if number not in steps and number not in followers and not _one_each_epoch(part):
            steps[number] = np.arange(1, _rows(part) + 1, dtype=np.float64)
            if _rows(part) > 1:
                notes.append("no step in the log: rows are counted from 1")
    waiting = [n for n in range(len(parts)) if n not in steps]
    if waiting and not steps:
        notes.append("no step in the log: epochs serve as steps")
        steps.update(_epochs(parts, waiting))
    else:
        _follow(parts, waiting, steps)
    late = {*waiting, *_repeating(parts, steps)} if len(waiting) < len(parts) else set()
    placed = [
        Placed(part, _whole(steps[n]), part.closing or (n in late and part.block.kind == "pairs"))
        for n, part in enumerate(parts)
    ]
    return placed, list(dict.fromkeys(notes))


def _whole(steps: Floats) -> Ints:
    return np.clip(np.rint(steps), -(2.0**62), 2.0**62).astype(np.int64)


def _rows(part: Part) -> int:
    return int(part.places.shape[0])


def _epochs(parts: list[Part], waiting: list[int]) -> dict[int, Floats]:
    """Return the epochs as steps, where no row has any; a count where there are none or
    fractions."""
    if all(np.isnan(parts[n].places[:, EPOCH]).all() for n in waiting):
        return {n: np.arange(1.0, _rows(parts[n]) + 1) for n in waiting}
    steps = {}
    for n in waiting:
        epochs = parts[n].places[:, EPOCH]
        fraction = np.isfinite(epochs).any() and np.any(epochs != np.floor(epochs))
        steps[n] = np.arange(1.0, epochs.size + 1) if fraction else np.nan_to_num(epochs)
    return steps


def _by_epochs(
    parts: list[Part], trained: list[int], followers: list[int], facts: Mapping[str, object]
) -> bool:
    """Return whether a count of the rows is too coarse: evaluations come more often, one each
    epoch."""
    count, more = (sum(_rows(parts[n]) for n in some) for some in (trained, followers))
    if more <= count or interval_of(count, facts) is not None:
        return False
    held = np.concatenate([parts[n].places[:, EPOCH] for n in followers])
    mine = np.concatenate([parts[n].places[:, EPOCH] for n in trained])
    return bool(
        np.isfinite(mine).all()
        and np.array_equal(held, np.floor(held))
        and np.unique(np.rint(mine)).size == mine.size
    )


def _is_evaluation(part: Part) -> bool:
    """Return whether a dictionary holds an evaluation: it takes the step of the row before it."""
    if part.block.kind == "section":
        return True
    if part.block.kind != "dict":
        return False
    keys = [key for key in part.block.keys if key != "epoch"]
    if part.block.split:
        return True
    return bool(keys) and all(key.startswith(("eval", "test", "val")) for key in keys)


def _closes(part: Part, most: int) -> bool:
    """Return whether dictionaries tell of both sides at the end of an epoch: means, and no steps."""
    sides = {names.canonical(key) for key in part.block.keys}
    both = "eval/loss" in sides and "train/lr" not in sides and "train/grad_norm" not in sides
    return part.block.kind == "dict" and both and FEWER * _rows(part) <= most


def _repeating(parts: list[Part], steps: Mapping[int, Floats]) -> set[int]:
    """Return the lines that tell of an epoch as a whole at the step of its last row."""
    main = max(steps, key=lambda n: _rows(parts[n]))
    return {
        n for n, part in enumerate(parts)
        if FEWER * _rows(part) <= _rows(parts[main])
        and np.isfinite(part.places[:, EPOCH]).all()
        and np.isin(steps[n], steps[main]).all()
    }  # fmt: skip


def _one_each_epoch(part: Part) -> bool:
    epochs = part.places[:, EPOCH]
    if part.block.kind == "progress":
        return True
    return bool(np.isfinite(epochs).all()) and np.unique(epochs).size > 0.67 * epochs.size


def _follow(
    parts: list[Part], waiting: list[int], steps: dict[int, Floats], ahead: float = 0.0
) -> None:
    """Rows without a step take that of the nearest row before them, moved on by their epoch."""
    if not waiting:
        return
    lines = np.concatenate([parts[n].places[:, LINE] for n in steps])
    known = np.concatenate([steps[n] for n in steps])
    epochs: Floats = np.concatenate([parts[n].places[:, EPOCH] for n in steps])
    order = np.argsort(lines, kind="stable")
    lines, known, epochs = lines[order], known[order], epochs[order]
    for n in waiting:
        at = np.searchsorted(lines, parts[n].places[:, LINE], side="right") - 1
        base = np.where(at >= 0, known[np.maximum(at, 0)], 0.0) + ahead
        steps[n] = (
            base if ahead else _move_by_epoch(base, at, known, epochs, parts[n].places[:, EPOCH])
        )


def _move_by_epoch(base: Floats, at: Ints, known: Floats, epochs: Floats, mine: Floats) -> Floats:
    """Return the steps of rows whose epoch says that they are later than the row before."""
    told = np.isfinite(epochs)
    if not told.any() or np.all(epochs[told] == np.floor(epochs[told])):
        return base
    first, last = np.flatnonzero(told)[[0, -1]]
    far = epochs[last] - epochs[first]
    each = (known[last] - known[first]) / far if far > 0 else known[last] / epochs[last]
    if not np.isfinite(each) or each <= 0:
        return base
    before = np.where(at >= 0, epochs[np.maximum(at, 0)], 0.0)
    following = np.append(known, np.inf)[at + 1]
    moved = np.clip(np.rint(base + (mine - before) * each), base, np.maximum(base, following))
    return np.where(mine - before > ROUNDED, moved, base)


def planned_steps(placed: list[Placed]) -> int | None:
    """Return the steps of the whole run, where its lines or its bar count towards one number
    throughout.

    A count within an epoch, which begins again with each, is none.
    """
    for one in sorted(placed, key=lambda one: -one.steps.size):
        places, steps = one.part.places, one.steps
        for column, at in ((TOTAL, STEP), (BAR_TOTAL, BAR)):
            known = np.isfinite(places[:, column]) & np.isfinite(places[:, at])
            if known.mean() < 0.9 or (column == TOTAL and _counts_epochs(places)):
                continue
            totals, counts = places[known, column], places[known, at]
            same = float(totals.min()) == float(totals.max()) and np.all(np.diff(counts) >= 0)
            if same and abs(float(counts[-1]) - float(steps[known][-1])) <= 1:
                return int(totals[0]) if 1 < totals[0] < 1e12 else None
    return None


def _counts_epochs(places: Floats) -> bool:
    epochs = places[:, EPOCH]
    return bool(np.isfinite(epochs).all() and np.all(epochs == np.floor(epochs)))
