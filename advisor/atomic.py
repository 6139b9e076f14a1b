"""Files written beside and moved into place, so that no half-written one is ever seen."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

PLAIN = 0o644  # of a file that is like no other


def write_atomic(place: Path, text: str, like: Path | None = None, fresh: bool = False) -> None:
    """Write a file with the mode of ``like``; with ``fresh`` OSError where one is there already."""
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
            os.link(temporary, place)  # fails where a file appeared meanwhile
            temporary.unlink()
        else:
            temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
