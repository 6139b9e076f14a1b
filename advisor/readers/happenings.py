"""``events.jsonl`` of our own trainer: what happened in the run of the training.jsonl beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from advisor.readers.records import try_decode
from advisor.run import Event

LOG, NAME = "training.jsonl", "events.jsonl"
_KINDS = ("exception", "oom", "resume", "checkpoint", "overflow_skip", "warning")
_FACTS = ("max_steps", "steps_per_epoch", "num_train_epochs")
_MOST = 20_000_000  # bytes of the file that are read
_TEXT = 400


@dataclass(frozen=True, slots=True)
class Happenings:
    """Events of a run, and what it stated at its start."""

    events: tuple[Event, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def resumed(self) -> bool:
        return any(event.kind == "resume" for event in self.events)


def beside(log: Path) -> Happenings:
    """Read the events beside a log; nothing where there are none."""
    path = log.with_name(NAME)
    return read(path) if log.name == LOG and path.is_file() else Happenings()


def is_ours(path: Path) -> bool:
    """Say whether a file is such a log of events."""
    return path.name == NAME and path.is_file() and any(_rows(path, 4096))


def read(path: Path) -> Happenings:
    """Read the file; a damaged line is left out."""
    events: list[Event] = []
    facts: dict[str, object] = {}
    for row in _rows(path, _MOST):
        kind, step = str(row["kind"]), row.get("step")
        if kind in _KINDS:
            number = step if isinstance(step, int) and abs(step) < 2**62 else None
            events.append(Event(kind, str(row["text"])[:_TEXT], number))
        details = row.get("details")
        if kind == "start" and isinstance(details, Mapping):
            facts["fp32_masters"] = True  # whatever is trained, this trainer holds it in fp32
            numbers = {key: details.get(key) for key in _FACTS}
            facts |= {k: v for k, v in numbers.items() if isinstance(v, int | float) and v > 0}
    return Happenings(tuple(events), facts)


def _rows(path: Path, most: int) -> Iterator[Mapping[str, object]]:
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
