"""Where records go: files that are flushed at once, the console, and trackers behind one guard."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from train.metrics.records import (
    EventRecord,
    Record,
    StepRecord,
    ValidationRecord,
    as_line,
    console_line,
)

TRAINING = "training.jsonl"
VALIDATION = "validation.jsonl"
EVENTS = "events.jsonl"
_NAMES: dict[type, str] = {StepRecord: TRAINING, ValidationRecord: VALIDATION, EventRecord: EVENTS}
_LONGEST_LINE = 1 << 20
_PLAIN = ("start", "end", "checkpoint", "resume", "notice")  # told without their kind before them


class Sink(Protocol):
    """Takes every record of a run, in order."""

    def write(self, record: Record) -> None: ...

    def close(self, status: str) -> None: ...


class JsonLines:
    """The run's own log: one file a kind of record, each line flushed as it is written.

    A flush hands the line to the operating system, so a killed process loses none; a power cut
    may. A resumed run goes on with the files: a line that a kill cut short is taken off first.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._files: dict[type, IO[str]] = {}

    def write(self, record: Record) -> None:
        kind = type(record)
        if kind not in self._files:  # no file before its first line: an empty log reads as broken
            self._files[kind] = _append(self._directory / _NAMES[kind])
        self._files[kind].write(as_line(record))
        self._files[kind].flush()

    def close(self, status: str) -> None:
        for file in self._files.values():
            file.close()


def _append(path: Path) -> IO[str]:
    if path.exists():
        with path.open("rb+") as file:
            start = max(0, path.stat().st_size - _LONGEST_LINE)
            file.seek(start)
            file.truncate(start + file.read().rfind(b"\n") + 1)
    return path.open("a", encoding="utf-8")


class Console:
    """Lines for people, and for the readers of AutoModel's console."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout

    def write(self, record: Record) -> None:
        if isinstance(record, EventRecord):
            line = record.text if record.kind in _PLAIN else f"[{record.kind}] {record.text}"
        else:
            line = console_line(record)
        print(line, file=self._stream, flush=True)

    def close(self, status: str) -> None:
        self._stream.flush()


class Guarded:
    """A tracker that may fail without ending the run: it is switched off with one notice."""

    def __init__(self, name: str, sink: Sink, stream: IO[str] | None = None) -> None:
        self._name, self._sink, self._stream = name, sink, stream or sys.stderr
        self._on = True

    def write(self, record: Record) -> None:
        if self._on:
            try:
                self._sink.write(record)
            except Exception as error:  # a tracker's library raises what it likes
                self._off(error)

    def close(self, status: str) -> None:
        if self._on:
            try:
                self._sink.close(status)
            except Exception as error:
                self._off(error)

    def _off(self, error: Exception) -> None:
        self._on = False
        first = str(error).strip().split("\n")[0][:200]
        text = f"{self._name} is off for the rest of the run: {type(error).__name__}: {first}"
        print(text, file=self._stream, flush=True)


class Fan:
    """One Sink made of several; the files come first, so that they have a row before all."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, record: Record) -> None:
        for sink in self._sinks:
            sink.write(record)

    def close(self, status: str) -> None:
        for sink in self._sinks:
            sink.close(status)
