"""Files written beside their place and moved into it, so that nobody sees a half-written one."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

PLAIN = 0o644  # mode of a new file without a model


def read_regular(place: Path, most: int = 64 << 20) -> bytes:
    """Return the bytes of a regular file. OSError for anything else, such as a pipe, which would
    block."""
    number = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(number, "rb") as file:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(place))
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, f"larger than {most >> 20} MiB", str(place))
    return raw


def refuse(place: Path) -> None:
    """Raise OSError for what must not be replaced: a device, a folder, a read-only file."""
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(place))
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, "read-only file", str(place))


def write_atomic(place: Path, text: str, like: Path | None = None, fresh: bool = False) -> None:
    """Write a file with the mode of ``like``; with ``fresh`` OSError if a file is already there.

    OSError also for a device, a pipe or a read-only file: root may write to all of them, so the
    mode is checked.
    """
    if not fresh:
        refuse(place)
    mode = PLAIN if like is None else stat.S_IMODE(like.stat().st_mode)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        if fresh:
            os.link(temporary, place)  # fails if a file has appeared in the meantime
            temporary.unlink()
        else:
            temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
