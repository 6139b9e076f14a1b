"""TensorBoard event files: the files of one directory are one run, restarts included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advisor.base.numbers import count
from advisor.errors import NotALog, ReadError
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.files import read_head, read_raw
from advisor.readers.objective import objective_of
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.readers.series import make_series
from advisor.readers.tfevents import read_events
from advisor.readers.tfrecord import Offsets, frames, starts_with_event
from advisor.run import Event, FloatArray, Run, Series

NAME = "tensorboard"
HEAD = 256

_FILE_TIME = re.compile(r"tfevents\.(\d{6,16})")


@dataclass(frozen=True, slots=True)
class _Curve:
    """The points of one tag in file order."""

    times: FloatArray
    steps: Offsets
    values: FloatArray


@dataclass(frozen=True, slots=True)
class _File:
    """What one event file holds."""

    path: Path
    curves: dict[str, _Curve]
    texts: dict[str, str]
    notes: tuple[str, ...]


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first record is intact and marks an event file."""
    return starts_with_event(head)


def read(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Return the run of one event file, or of all event files directly in a directory."""
    if not path.is_dir():
        return read_many([path], options)
    found = [file for file in path.iterdir() if file.is_file() and _is_event_file(file)]
    if not found:
        raise ReadError(f"{path}: no event file in this directory; name the one that holds it")
    return read_many(found, options)


def _is_event_file(path: Path) -> bool:
    return starts_with_event(read_head(path, HEAD))


def read_many(paths: Sequence[Path], options: ReadOptions = DEFAULT) -> list[Run]:
    """Return one Run of these event files, read in the order of the times in their names."""
    files = [_read_file(path) for path in sorted(paths, key=_order)]
    with_points = [file for file in files if file.curves]
    where = str(files[0].path if len(files) == 1 else files[0].path.parent)
    if not with_points:
        raise NotALog(f"{where}: no scalar in this event file; point at the run's own log")
    curves, events, said = _join(with_points)
    notes = [*dict.fromkeys(note for file in files for note in file.notes), *said]
    series, more = _series(curves, options, where)
    if not series:
        raise ReadError(f"{where}: no point is left between the steps of --steps")
    notes += more
    facts = _facts(curves)
    if objective := objective_of(series):
        facts["objective"] = objective
    return [Run(where, NAME, series, events=tuple(events), notes=tuple(notes), facts=facts)]


def _order(path: Path) -> tuple[int, str]:
    stamp = _FILE_TIME.search(path.name)
    return (int(stamp[1]) if stamp else 0, path.name)


def _read_file(path: Path) -> _File:
    data = np.frombuffer(read_raw(path), dtype=np.uint8)
    found = frames(data)
    if not found.starts.size:
        raise ReadError(f"{path}: no intact record; the file is cut off or is no event file")
    events = read_events(data, found)
    notes = [f"{path.name}: {note}" for note in found.notes]
    if events.unread:
        notes.append(f"{path.name}: {count(events.unread, 'unreadable record')} left out")
    curves = {tag: _Curve(*points.join_rows()) for tag, points in events.points.items()}
    return _File(path, curves, events.texts, tuple(notes))


def _join(files: Sequence[_File]) -> tuple[dict[str, _Curve], list[Event], list[str]]:
    """Return the joined curves, a resume event per restart, and notes.

    From the first step on that a later file shares tags with, the later file replaces the earlier.
    """
    curves = dict(files[0].curves)
    events: list[Event] = []
    notes: list[str] = []
    for file in files[1:]:
        shared = curves.keys() & file.curves.keys()
        if shared:
            begin = min(int(file.curves[tag].steps.min()) for tag in shared)
            over = max(int(curves[tag].steps.max()) for tag in shared)
            curves = {tag: cut for tag, old in curves.items() if (cut := _before(old, begin))}
            if over >= begin:
                text = f"{file.path.name} continues from step {begin}, after step {over}"
                notes.append(f"{text}: the later file wins")
            else:
                text = f"{file.path.name} continues from step {begin}"
            events.append(Event("resume", text, begin))
        for tag, new in file.curves.items():
            old = curves.get(tag)
            curves[tag] = new if old is None else _append_curve(old, new)
    return curves, events, notes


def _before(curve: _Curve, step: int) -> _Curve | None:
    kept = curve.steps < step
    if not kept.any():
        return None
    return _Curve(curve.times[kept], curve.steps[kept], curve.values[kept])


def _append_curve(old: _Curve, new: _Curve) -> _Curve:
    return _Curve(
        np.concatenate([old.times, new.times]),
        np.concatenate([old.steps, new.steps]),
        np.concatenate([old.values, new.values]),
    )


def _series(
    curves: Mapping[str, _Curve], options: ReadOptions, where: str
) -> tuple[dict[str, Series], list[str]]:
    epochs = next((curves[tag] for tag in curves if names.plain(tag) in names.EPOCH), None)
    series: dict[str, Series] = {}
    dropped = 0
    chosen, notes = choose(_counts(curves), options.map, where)
    for name, tag in chosen.items():
        curve = curves[tag]
        made = make_series(
            name,
            curve.steps.astype(np.float64),
            curve.values,
            tag,
            None if epochs is None else _epochs_at(epochs, curve.steps),
            curve.times,
            options.steps,
        )
        if made is not None:
            series[name] = made
            dropped = max(dropped, made.dropped)
    if dropped:
        notes.append(f"{count(dropped, 'repeated step')} dropped: the last value of each is kept")
    return series, notes


def _epochs_at(epochs: _Curve, steps: Offsets) -> FloatArray:
    """Return the epoch logged at each step, or at the nearest one before it."""
    order = np.argsort(epochs.steps, kind="stable")
    at = np.searchsorted(epochs.steps[order], steps, side="right") - 1
    known = epochs.values[order][np.maximum(at, 0)]
    return np.where(at >= 0, known, np.nan)


def _counts(curves: Mapping[str, _Curve]) -> dict[str, int]:
    """Return the number of points of each tag, without tags of closing summaries."""
    counts = {tag: int(curve.steps.size) for tag, curve in curves.items()}
    for tag, points in list(counts.items()):
        last = names.plain(tag).rsplit("/", 1)[-1]
        if last in names.SUMMARY or (last == "train_loss" and points == 1):
            del counts[tag]
    return counts


def _facts(curves: Mapping[str, _Curve]) -> dict[str, object]:
    """Return the closing figures of a run that trainers log as single points."""
    facts: dict[str, object] = {}
    for tag, curve in curves.items():
        last = tag.rsplit("/", 1)[-1]
        if last in names.SUMMARY and curve.steps.size == 1 and np.isfinite(curve.values[0]):
            facts[last] = float(curve.values[0])
    return facts
