"""Standard output and error: no reader, a full disk or no UTF-8 are no traceback."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import IO, Any


class OutputLost(Exception):
    """Standard output takes no more. No OSError: libraries between us would catch that."""

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
    """What is said beside the answer: a lost line must not take the work along."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)


def prepare() -> None:
    """Put streams of ours in place; a closed one swallows what it is given."""
    sys.stdout = _ready(sys.stdout, _Output)
    sys.stderr = _ready(sys.stderr, _Said)


def _ready(stream: IO[str] | None, kind: type[io.FileIO]) -> io.TextIOWrapper:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # type: ignore[return-value]  # somebody else's stand-in
    raw = kind(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), stream.encoding, "backslashreplace",
        line_buffering=stream.line_buffering, write_through=stream.write_through,
    )  # fmt: skip


def give_up() -> None:
    """Send what is left nowhere, so that nothing fails again at the end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
