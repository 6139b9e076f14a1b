"""What a user asks to watch: files, folders, patterns, and what is not there yet."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from advisor.folders import walk
from advisor.readers import happenings

Print = tuple[object, ...]  # of a file: it is another one when the file has changed


def present(words: Sequence[Path]) -> tuple[dict[Path, bool], list[Path]]:
    """Return the paths that exist, and the words for which nothing is there yet.

    A path is True where more runs may appear in it or beside it: of a pattern, or a folder.
    """
    found: dict[Path, bool] = {}
    absent: list[Path] = []
    for word in words:
        if word.exists():
            found.setdefault(word, word.is_dir())
        elif matches := sorted(_matches(word)):
            found.update(dict.fromkeys(matches, True))
        else:
            absent.append(word)
    return found, absent


def _matches(word: Path) -> Iterator[Path]:
    if glob.has_magic(str(word)):
        yield from map(Path, glob.glob(str(word), recursive=True))  # noqa: PTH207  (of any root)


def identity(path: Path) -> tuple[int, int] | None:
    """Say which file on the disk a path is now; None where it is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def holder(path: Path) -> Path:
    """Return the folder that a run lies in; of a run of several files that is its own path."""
    return path if path.is_dir() else path.parent


def print_of(path: Path) -> Print:
    """Return what changes when a log, or any log below a folder, is written to."""
    if not path.is_dir():
        # the trainer's events lie beside its log, and are read with it
        return _file(path), _file(path.with_name(happenings.NAME))
    walked = walk(path)
    if walked.trackers and not walked.folders:
        walked = walk(path, into_trackers=True)
    files = (
        file
        for folder in walked.folders
        for kind in (folder.states, folder.tables, folder.events, folder.texts)
        for file in kind
    )
    names = tuple(tuple(folder.checkpoints.items()) for folder in walked.folders)
    return tuple(_file(file) for file in files), names


def _file(path: Path) -> Print:
    try:
        state = path.stat()
    except OSError:
        return (os.fspath(path),)
    return os.fspath(path), state.st_ino, state.st_size, state.st_mtime_ns
