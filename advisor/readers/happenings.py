"""``events.jsonl`` of our own trainer: what happened in the run of the training.jsonl beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from advisor.readers import names
from advisor.readers.columns import Columns
from advisor.readers.records import try_decode
from advisor.run import Event

LOG, HELD_OUT, NAME = "training.jsonl", "validation.jsonl", "events.jsonl"
_KINDS = ("exception", "oom", "stop", "resume", "checkpoint", "overflow_skip", "warning")
_FACTS = (
    "max_steps", "steps_per_epoch", "num_train_epochs", "samples", "tokens", "supervised",
    "vocab_size",
)  # fmt: skip
ROLLBACK = "rollback"
_OF_STEPS = ("overflow_skip", "warning")  # are undone with their steps
_MOST = 20_000_000  # bytes of the file that are read
_TEXT = 400


@dataclass(frozen=True, slots=True)
class Happenings:
    """Events of a run, and what it stated at its start.

    ``rollbacks`` are the times at which the run was rolled back, each with the step it went to.
    """

    events: tuple[Event, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    rollbacks: tuple[tuple[float, int], ...] = ()

    @property
    def resumed(self) -> bool:
        return bool(self.rollbacks) or any(event.kind == "resume" for event in self.events)


def beside(log: Path) -> Happenings:
    """Read the events beside a log; nothing where there are none."""
    path = log.with_name(NAME)
    return read(path) if log.name in (LOG, HELD_OUT) and path.is_file() else Happenings()


def is_ours(path: Path) -> bool:
    """Say whether a file is such a log of events."""
    return path.name == NAME and path.is_file() and any(rows(path, 4096))


def read(path: Path) -> Happenings:
    """Read the file; a damaged line is left out."""
    events: list[Event] = []
    facts: dict[str, object] = {}
    back: list[tuple[float, int]] = []
    cuts: list[tuple[int, float]] = []
    broken: Event | None = None  # the exception that nothing followed
    for row in rows(path):
        kind, step = str(row["kind"]), row.get("step")
        if kind in _KINDS:
            number = step if isinstance(step, int) and abs(step) < 2**62 else None
            events.append(Event(kind, str(row["text"])[:_TEXT], number))
            broken = events[-1] if kind == "exception" else broken
        if kind in ("start", "end"):
            facts["ended"] = kind == "end"  # a run that goes on after its end starts anew
            broken = None
        details = row.get("details")
        if kind == ROLLBACK and isinstance(details, Mapping):
            events = [each for each in events if not _is_undone(each, details.get("to_step"))]
            back += _rollback(row.get("timestamp"), details.get("to_step"))
            cuts += _cut(details)
        if kind == "start" and isinstance(details, Mapping):
            facts["fp32_masters"] = True  # whatever is trained, this trainer holds it in fp32
            numbers = {key: details.get(key) for key in _FACTS}
            facts |= {k: v for k, v in numbers.items() if isinstance(v, int | float) and v > 0}
    events = [replace(each, final=True) if each is broken else each for each in events]
    if cuts:
        facts["lr_cuts"] = tuple(cuts)
    return Happenings(tuple(events), facts, tuple(back))


def _is_undone(event: Event, back: object) -> bool:
    late = isinstance(back, int) and event.step is not None and event.step >= back
    return event.kind in _OF_STEPS and late


def _rollback(time: object, step: object) -> list[tuple[float, int]]:
    good = isinstance(time, int | float) and isinstance(step, int)
    return [(float(time), step)] if good else []  # type: ignore[arg-type,list-item]


def _cut(details: Mapping[object, object]) -> list[tuple[int, float]]:
    """Return from which step on the rate is so much of the planned one."""
    step, factor = details.get("to_step"), details.get("lr_factor")
    good = isinstance(step, int) and isinstance(factor, int | float) and 0 < factor < 1
    return [(step, float(factor))] if good else []  # type: ignore[list-item,arg-type]


def drop_undone(columns: Columns, rollbacks: Sequence[tuple[float, int]]) -> int:
    """Take out the rows of steps that were undone before they were taken anew; count them.

    A step that was not reached again would otherwise still show what was gone back from.
    """
    steps, times = columns.by_row(names.STEP), columns.by_row(names.TIME)
    if steps is None or times is None:
        return 0
    undone = np.zeros(columns.rows, dtype=np.bool_)
    for time, step in rollbacks:
        undone |= (times < time) & (steps >= step)
    for name in list(columns.data):
        rows, values = columns.column(name)
        kept = ~undone[rows]
        columns.data[name] = ([rows[kept]], [values[kept]])
        if not kept.any():
            del columns.data[name]
    return int(undone.sum())


def rows(path: Path, most: int = _MOST) -> Iterator[Mapping[str, object]]:
    """Yield the rows of a log of events; a damaged line is left out."""
    try:
        with path.open("rb") as file:
            lines = file.read(most).split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            row = try_decode(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"kind", "text", "timestamp"} <= set(row):
            yield row
