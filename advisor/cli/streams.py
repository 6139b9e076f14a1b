"""Standard output and error without tracebacks for a closed pipe, a full disk or a non-UTF-8
encoding."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import IO, Any


class OutputLost(Exception):
    """Standard output cannot be written. Not an OSError, which libraries in between would catch."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.nobody_reads = error.errno == errno.EPIPE


class _Output(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            raise OutputLost(error) from None


class _Said(io.FileIO):
    """A stream for messages beside the answer: a lost line must not stop the work."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)


def prepare() -> None:
    """Install our streams; a closed one discards what is written to it."""
    sys.stdout = _wrap(sys.stdout, _Output)
    sys.stderr = _wrap(sys.stderr, _Said)


def _wrap(stream: IO[str] | None, kind: type[io.FileIO]) -> io.TextIOWrapper:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # type: ignore[return-value]  # replaced by another program
    raw = kind(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, "backslashreplace",
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip


def give_up() -> None:
    """Redirect the rest to nowhere, so that nothing fails again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
