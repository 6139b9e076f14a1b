"""Reading bytes safely: bounded sizes, clear errors."""

from __future__ import annotations

from pathlib import Path

from advisor.errors import ReadError

MAX_BYTES = 4 << 30
HEAD = 1 << 16


def read_bytes(path: Path) -> bytes:
    """Return the whole file; ReadError says why it cannot be had."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ReadError(f"{path}: {size >> 20} MiB is more than {MAX_BYTES >> 20} MiB; cut it")
        data = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.strip():
        raise ReadError(f"{path}: the file is empty")
    return data


def read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror}") from None
