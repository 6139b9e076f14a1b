"""Finding the step of each row of one console run, stated or inferred."""

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

FEWER = 3  # rows about whole epochs are at least that many times fewer than the other rows
ROUNDED = 0.011  # of an epoch: logs print it with two digits


@dataclass(frozen=True, slots=True)
class Placed:
    """A part with the step of each row."""

    part: Part
    steps: Ints
    follows: bool = False  # rows about whole epochs, beside rows that have steps


def place_rows(parts: list[Part], facts: dict[str, object]) -> tuple[list[Placed], list[str]]:
    """Return the parts of one run with the step of each row, and notes on where steps come from.

    ``facts`` gets 'rows_counted' where steps are mere row numbers.
    """
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
        if n not in steps and (_is_evaluation(part) or _is_epoch_summary(part, most))
    }  # fmt: skip
    trained = [
        n for n, part in enumerate(parts)
        if part.block.kind == "dict" and n not in steps and n not in followers
    ]  # fmt: skip
    stated = sum(_rows(parts[n]) for n in steps if parts[n].block.kind == "dict")
    if trained and stated >= sum(_rows(parts[n]) for n in trained):
        _follow(parts, trained, steps, ahead=1.0)  # the same lines, truncated before their step
    elif trained and not steps and _is_better_by_epochs(parts, trained, [*followers], facts):
        steps.update({n: parts[n].places[:, EPOCH] for n in (*trained, *followers)})
        notes.append("no step in the log: epochs serve as steps")
    elif trained:
        steps.update(infer_steps(parts, trained, facts, notes))
    for number, part in enumerate(parts):
        if number not in steps and number not in followers and not _is_one_per_epoch(part):
            steps[number] = np.arange(1, _rows(part) + 1, dtype=np.float64)
            if _rows(part) > 1:
                notes.append("no step in the log: rows are counted from 1")
    waiting = [n for n in range(len(parts)) if n not in steps]
    if waiting and not steps:
        notes.append("no step in the log: epochs serve as steps")
        steps.update(_epochs(parts, waiting))
    else:
        _follow(parts, waiting, steps)
    late = {*waiting, *_epoch_summaries(parts, steps)} if len(waiting) < len(parts) else set()
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
    """Return epochs as the steps of the waiting parts; a count if any are missing or fractions."""
    if all(np.isnan(parts[n].places[:, EPOCH]).all() for n in waiting):
        return {n: np.arange(1.0, _rows(parts[n]) + 1) for n in waiting}
    steps = {}
    for n in waiting:
        epochs = parts[n].places[:, EPOCH]
        fraction = np.isfinite(epochs).any() and np.any(epochs != np.floor(epochs))
        steps[n] = np.arange(1.0, epochs.size + 1) if fraction else np.nan_to_num(epochs)
    return steps


def _is_better_by_epochs(
    parts: list[Part], trained: list[int], followers: list[int], facts: Mapping[str, object]
) -> bool:
    """Return whether epochs serve as steps better than a count of the rows.

    They do if evaluations, one per epoch, are more frequent than training rows.
    """
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
    """Return whether rows hold evaluations, which get the step of the training row before."""
    if part.block.kind == "section":
        return True
    if part.block.kind != "dict":
        return False
    keys = [key for key in part.block.keys if key != "epoch"]
    if part.block.split:
        return True
    return bool(keys) and all(key.startswith(("eval", "test", "val")) for key in keys)


def _is_epoch_summary(part: Part, most: int) -> bool:
    """Return whether dictionaries hold train and eval means at the end of an epoch, not steps.

    ``most`` is the number of rows of the largest part.
    """
    sides = {names.canonical(key) for key in part.block.keys}
    both = "eval/loss" in sides and "train/lr" not in sides and "train/grad_norm" not in sides
    return part.block.kind == "dict" and both and FEWER * _rows(part) <= most


def _epoch_summaries(parts: list[Part], steps: Mapping[int, Floats]) -> set[int]:
    """Return the parts whose rows describe whole epochs, at the step of each epoch's last row."""
    main = max(steps, key=lambda n: _rows(parts[n]))
    return {
        n for n, part in enumerate(parts)
        if FEWER * _rows(part) <= _rows(parts[main])
        and np.isfinite(part.places[:, EPOCH]).all()
        and np.isin(steps[n], steps[main]).all()
    }  # fmt: skip


def _is_one_per_epoch(part: Part) -> bool:
    epochs = part.places[:, EPOCH]
    if part.block.kind == "progress":
        return True
    return bool(np.isfinite(epochs).all()) and np.unique(epochs).size > 0.67 * epochs.size


def _follow(
    parts: list[Part], waiting: list[int], steps: dict[int, Floats], ahead: float = 0.0
) -> None:
    """Give waiting parts, in ``steps``, the step of the nearest row before each of their rows.

    A row whose epoch is later than that row's gets a later step. ``ahead`` is added instead.
    """
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
    """Return ``base`` with the rows moved that are later, by their epochs, than the row before."""
    known_at = np.isfinite(epochs)
    if not known_at.any() or np.all(epochs[known_at] == np.floor(epochs[known_at])):
        return base
    first, last = np.flatnonzero(known_at)[[0, -1]]
    far, gained = epochs[last] - epochs[first], known[last] - known[first]
    if far <= 0:
        far, gained = epochs[last], known[last]
    each = gained / far if far else np.nan
    if not np.isfinite(each) or each <= 0:
        return base
    before = np.where(at >= 0, epochs[np.maximum(at, 0)], 0.0)
    following = np.append(known, np.inf)[at + 1]
    moved = np.clip(np.rint(base + (mine - before) * each), base, np.maximum(base, following))
    return np.where(mine - before > ROUNDED, moved, base)


def planned_steps(placed: list[Placed]) -> int | None:
    """Return the planned steps of the run: the one end of all its lines or bars; else None.

    A count that restarts with each epoch does not qualify.
    """
    for one in sorted(placed, key=lambda one: -one.steps.size):
        places, steps = one.part.places, one.steps
        for column, at in ((TOTAL, STEP), (BAR_TOTAL, BAR)):
            known = np.isfinite(places[:, column]) & np.isfinite(places[:, at])
            if known.mean() < 0.9 or (column == TOTAL and _has_whole_epochs(places)):
                continue
            totals, counts = places[known, column], places[known, at]
            same = float(totals.min()) == float(totals.max()) and np.all(np.diff(counts) >= 0)
            if same and abs(float(counts[-1]) - float(steps[known][-1])) <= 1:
                return int(totals[0]) if 1 < totals[0] < 1e12 else None
    return None


def _has_whole_epochs(places: Floats) -> bool:
    epochs = places[:, EPOCH]
    return bool(np.isfinite(epochs).all() and np.all(epochs == np.floor(epochs)))
