"""Where records go: the console, and trackers behind one guard."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Protocol

from train.metrics.records import EventRecord, Record, console_line

_PLAIN = ("start", "end", "checkpoint", "resume", "notice")  # told without their kind before them


class Sink(Protocol):
    """Takes every record of a run, in order."""

    def write(self, record: Record) -> None: ...

    def close(self, status: str) -> None: ...


class Console:
    """Lines for people, and for the readers of AutoModel's console."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout

    def write(self, record: Record) -> None:
        if isinstance(record, EventRecord):
            line = record.text if record.kind in _PLAIN else f"[{record.kind}] {record.text}"
        else:
            line = console_line(record)
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            return  # a file on a full disk: the run's own log says what happened

    def close(self, status: str) -> None:
        with suppress(OSError):
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
    """Passes records to several sinks in turn; the log files come first."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, record: Record) -> None:
        for sink in self._sinks:
            sink.write(record)

    def close(self, status: str) -> None:
        for sink in self._sinks:
            sink.close(status)


class Locked:
    """A Sink that threads may write to."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._lock = sink, threading.Lock()

    def write(self, record: Record) -> None:
        with self._lock:
            self._sink.write(record)

    def close(self, status: str) -> None:
        with self._lock:
            self._sink.close(status)
