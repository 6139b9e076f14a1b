"""``events.jsonl`` of our own trainer: the events of the run in the training.jsonl beside it."""

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
_OF_STEPS = ("overflow_skip", "warning")  # a rollback removes them with their steps
_MOST = 20_000_000  # bytes of the file that are read
_TEXT = 400  # characters of a text that are kept


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events of a run, and the facts that it stated at its start.

    ``rollbacks`` holds the time (seconds since 1970) of each rollback and the step it went to.
    """

    events: tuple[Event, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    rollbacks: tuple[tuple[float, int], ...] = ()

    @property
    def is_resumed(self) -> bool:
        """Whether the run was rolled back or resumed, so that its steps may decrease."""
        return bool(self.rollbacks) or any(event.kind == "resume" for event in self.events)


def read_beside(log: Path) -> EventLog:
    """Return the events beside a log of our trainer; empty for any other log."""
    path = log.with_name(NAME)
    return read(path) if log.name in (LOG, HELD_OUT) and path.is_file() else EventLog()


def is_ours(path: Path) -> bool:
    """Return whether a file is our trainer's log of events."""
    return path.name == NAME and path.is_file() and any(rows(path, 4096))


def read(path: Path) -> EventLog:
    """Return the events and facts of the file; damaged lines are left out."""
    events: list[Event] = []
    facts: dict[str, object] = {}
    back: list[tuple[float, int]] = []
    cuts: list[tuple[int, float]] = []
    broken: Event | None = None  # the last exception, unless the run started or ended after it
    for row in rows(path):
        kind, step = str(row["kind"]), row.get("step")
        if kind in _KINDS:
            number = step if isinstance(step, int) and abs(step) < 2**62 else None
            events.append(Event(kind, str(row["text"])[:_TEXT], number))
            broken = events[-1] if kind == "exception" else broken
        if kind in ("start", "end"):
            facts["ended"] = kind == "end"  # a run resumed after its end has not ended
            broken = None
        details = row.get("details")
        if kind == ROLLBACK and isinstance(details, Mapping):
            events = [each for each in events if not _is_undone(each, details.get("to_step"))]
            back += _rollback(row.get("timestamp"), details.get("to_step"))
            cuts += _cut(details)
        if kind == "start" and isinstance(details, Mapping):
            facts["fp32_masters"] = True  # this trainer keeps all trained weights in fp32
            numbers = {key: details.get(key) for key in _FACTS}
            facts |= {k: v for k, v in numbers.items() if isinstance(v, int | float) and v > 0}
    events = [replace(each, final=True) if each is broken else each for each in events]
    if cuts:
        facts["lr_cuts"] = tuple(cuts)
    return EventLog(tuple(events), facts, tuple(back))


def _is_undone(event: Event, back: object) -> bool:
    late = isinstance(back, int) and event.step is not None and event.step >= back
    return event.kind in _OF_STEPS and late


def _rollback(time: object, step: object) -> list[tuple[float, int]]:
    good = isinstance(time, int | float) and isinstance(step, int)
    return [(float(time), step)] if good else []  # type: ignore[arg-type,list-item]


def _cut(details: Mapping[object, object]) -> list[tuple[int, float]]:
    """Return the step from which a rollback lowered the learning rate, and by which factor."""
    step, factor = details.get("to_step"), details.get("lr_factor")
    good = isinstance(step, int) and isinstance(factor, int | float) and 0 < factor < 1
    return [(step, float(factor))] if good else []  # type: ignore[list-item,arg-type]


def drop_undone(columns: Columns, rollbacks: Sequence[tuple[float, int]]) -> int:
    """Remove, in place, the rows that a rollback undid; return how many.

    A step that is repeated after the rollback replaces its earlier row anyway; a step that is not
    reached again would otherwise keep the value that was rolled back.
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
    """Yield the rows of a log of events, up to ``most`` bytes; damaged lines are left out."""
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
