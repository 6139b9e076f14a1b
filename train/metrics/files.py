"""The run's log files, one for each kind of record; a full disk delays them and does not end the
run."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from train.metrics.records import (
    EventRecord,
    Record,
    StepRecord,
    ValidationRecord,
    as_line,
)

TRAINING = "training.jsonl"
VALIDATION = "validation.jsonl"
EVENTS = "events.jsonl"
_NAMES: dict[type, str] = {StepRecord: TRAINING, ValidationRecord: VALIDATION, EventRecord: EVENTS}
_LONGEST_LINE = 1 << 20


class JsonLines:
    """Each line is handed to the operating system as it is written.

    So a killed process loses none; a power cut may. A resumed run goes on with the files: a line
    that a kill cut short is taken off first. Lines that cannot be written are kept and tried
    again with the next one: a disk that is full at night costs no run.
    """

    def __init__(self, directory: Path, stream: IO[str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._stream = directory, stream or sys.stderr
        self._files: dict[type, _Lines] = {}
        self._told: set[type] = set()

    def write(self, record: Record) -> None:
        kind = type(record)
        if kind not in self._files:  # no file before its first line: an empty log reads as broken
            self._files[kind] = _Lines(self._directory / _NAMES[kind])
        file = self._files[kind]
        file.add(as_line(record))
        if not file.error:
            self._told.discard(kind)
        elif kind not in self._told:
            self._told.add(kind)
            self._tell(f"{file.error}; the run goes on, its lines are kept to be written later")

    def close(self, status: str) -> None:
        for file in self._files.values():
            lost = file.close()
            if lost:
                self._tell(f"{file.error}; its last {lost} lines are lost")

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # it may be a file on the same disk
            print(f"[warning] {text}", file=self._stream, flush=True)


class _Lines:
    """A file that is appended to; ``error`` says why its last lines are not in it yet."""

    def __init__(self, path: Path) -> None:
        self.error = ""
        self._path = path
        self._file: BinaryIO | None = None
        self._left = bytearray()

    def add(self, line: str) -> None:
        self._left += line.encode("utf-8")
        self._write()

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = _append(self._path)
            while self._left:
                del self._left[: self._file.write(self._left)]
            self.error = ""
        except OSError as error:
            self.error = f"{self._path}: cannot be written ({error.strerror})"

    def close(self) -> int:
        """Return how many lines could not be written."""
        self._write()
        if self._file is not None:
            self._file.close()
        return self._left.count(b"\n")


def _append(path: Path) -> BinaryIO:
    if path.exists():
        with path.open("rb+") as file:
            start = max(0, path.stat().st_size - _LONGEST_LINE)
            file.seek(start)
            file.truncate(start + file.read().rfind(b"\n") + 1)
    return path.open("ab", buffering=0)
