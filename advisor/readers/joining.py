"""Joining several logs of one run: what the first log lacks is taken from the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.errors import one_line
from advisor.run import IntArray, Run, Series

MOST = 50  # runs of a folder that another log is compared with
CLOSE = 2e-3  # relative difference of equal losses: logs of one run round differently


def join(runs: list[Run], other: Run) -> bool:
    """Merge a log into the run it belongs to, in place; return False where it fits none."""
    for at, run in enumerate(runs[:MOST]):
        matched = _matching_steps(run, other)
        if matched is not None:
            runs[at] = _complete(run, other, matched)
            return True
    alone = [at for at, run in enumerate(runs) if run.series and not run.facts.get("leftover")]
    if not other.series and len(alone) == 1:
        runs[alone[0]] = _complete(runs[alone[0]], other, {})
        return True
    return False


def _matching_steps(run: Run, other: Run) -> dict[int, int] | None:
    """Return step of the other log -> step of the run if both show the same loss, else None."""
    for name in ("train/loss", "eval/loss"):
        mine, theirs = run.series.get(name), other.series.get(name)
        if mine is not None and theirs is not None:
            return _same_steps(mine, theirs) or _same_order(mine, theirs)
    return None


def _same_steps(mine: Series, theirs: Series) -> dict[int, int] | None:
    shared, at, there = np.intersect1d(
        mine.steps, theirs.steps, assume_unique=True, return_indices=True
    )
    if shared.size < max(2, 0.5 * min(len(mine), len(theirs))):
        return None
    if not _is_same_curve(mine, theirs, at, there):
        return None
    return {int(step): int(step) for step in theirs.steps[:: max(1, len(theirs) // 5000)]}


def _same_order(mine: Series, theirs: Series) -> dict[int, int] | None:
    """Match a log without real steps by the order of its values."""
    count = min(len(mine), len(theirs))
    if count < 4 or abs(len(mine) - len(theirs)) > 0.1 * count:
        return None
    every = np.arange(count)
    if not _is_same_curve(mine, theirs, every, every):
        return None
    return dict(zip(theirs.steps[:count].tolist(), mine.steps[:count].tolist(), strict=True))


def _is_same_curve(mine: Series, theirs: Series, at: IntArray, there: IntArray) -> bool:
    one, other = mine.values[at], theirs.values[there]
    both = np.isfinite(one) & np.isfinite(other)
    if not both.any():
        return False
    gap = np.abs(one[both] - other[both])
    return bool(np.mean(gap <= CLOSE * np.maximum(np.abs(one[both]), 0.05)) >= 0.9)


def _complete(run: Run, other: Run, steps: dict[int, int]) -> Run:
    """Return the run with the series and events that only the other log has."""
    place = one_line(Path(other.path).name)
    found = {name: _at_steps(one, steps) for name, one in other.series.items()}
    missing = {
        name: one for name, one in found.items()
        if one is not None and name not in run.series
        and ("loss" not in name.removeprefix("train/") or name.startswith("eval/"))
    }  # fmt: skip
    known = {(event.kind, event.text) for event in run.events}
    events = tuple(
        replace(e, step=steps.get(e.step) if e.step is not None else None)
        for e in other.events
        if (e.kind, e.text) not in known and e.kind != "resume"
    )
    counted = f"{len(events)} event{'s' if len(events) > 1 else ''}"
    what = [*sorted(missing), *([counted] if events else [])]
    if not what:
        return replace(run, notes=(*run.notes, f"{place} shows the same run"))
    return replace(
        run,
        series={**run.series, **missing},
        events=(*run.events, *events),
        notes=(*run.notes, f"{', '.join(what)} from {place}"),
    )


def _at_steps(series: Series, steps: dict[int, int]) -> Series | None:
    """Return another log's series at the run's steps; None where two points share a step."""
    if all(old == new for old, new in steps.items()):
        return series
    theirs = np.array(sorted({0: 0, **steps}), dtype=np.float64)
    mine = np.array([{0: 0, **steps}[int(step)] for step in theirs], dtype=np.float64)
    beyond = np.maximum(0.0, series.steps - theirs[-1]) * (mine[-1] / theirs[-1])
    moved = np.rint(np.interp(series.steps, theirs, mine) + beyond).astype(np.int64)
    return replace(series, steps=moved) if np.all(np.diff(moved) > 0) else None


def held_out(run: Run) -> Run:
    """Return the run of an evaluation log, with its train/loss and accuracy renamed to eval/."""
    series = {}
    for name, one in run.series.items():
        moved = name in ("train/loss", "train/accuracy")
        other = name.replace("train/", "eval/", 1) if moved else name
        if other not in run.series or other == name:
            series[other] = replace(one, name=other)
    return replace(run, series=series)


def side_by_side(run: Run, held: Run) -> Run:
    """Return the run of a training log together with its evaluation log."""
    more = {k: v for k, v in held_out(held).series.items() if k.startswith("eval/")}
    more = {k: v for k, v in more.items() if k not in run.series}
    return replace(
        run,
        series={**run.series, **more},
        events=(*run.events, *held.events),
        notes=tuple(dict.fromkeys((*run.notes, *held.notes))),
    )
