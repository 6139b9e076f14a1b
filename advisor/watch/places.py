"""The paths that a user asks to watch: files, folders, patterns, and paths yet to appear."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from advisor.readers import event_log
from advisor.readers.folders import walk

MOST_BESIDE, MOST_PARTS = 2_000, 4  # files of a folder that are listed, and that are read
_PACKED = re.compile(r"\.(gz|bz2|xz)$")
Fingerprint = tuple[object, ...]  # of a file or folder; differs once that has changed


def find_present(words: Sequence[Path]) -> tuple[dict[Path, bool], list[Path]]:
    """Return the paths that exist, and the words for which nothing exists yet.

    A path maps to True where more runs may appear: it is a folder, or matches a pattern.
    """
    found: dict[Path, bool] = {}
    absent: list[Path] = []
    for word in words:
        if word.exists():
            found.setdefault(word, word.is_dir())
        elif matches := sorted(_list_matches(word)):
            found.update(dict.fromkeys(matches, True))
        else:
            absent.append(word)
    return found, absent


def _list_matches(word: Path) -> Iterator[Path]:
    if glob.has_magic(str(word)):
        yield from map(Path, glob.glob(str(word), recursive=True))  # noqa: PTH207  (of any root)


def identify_file(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a path, None where it does not exist."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def find_rotated(path: Path, was: tuple[int, int] | None) -> list[Path]:
    """Return the newest files that a log may have been rotated to, by move or copy; at most 4.

    ``was`` is the log's former device and inode: that file is one of them under any name.
    """
    found: list[tuple[bool, float, Path]] = []
    try:
        with os.scandir(path.parent) as entries:
            for _, entry in zip(range(MOST_BESIDE), entries, strict=False):
                is_it = entry.inode() == (was or (0, 0))[1]
                if entry.name == path.name or not (is_it or _is_named_after(entry.name, path)):
                    continue
                if entry.is_file():
                    found.append((is_it, entry.stat().st_mtime, Path(entry.path)))
    except OSError:
        pass  # use those found so far
    return [place for *_, place in sorted(found, reverse=True)[:MOST_PARTS]]


def _is_named_after(name: str, path: Path) -> bool:
    """Return whether a name is log.1, log-20260101.gz, or train-1.jsonl of train.jsonl."""
    if name.startswith((f"{path.name}.", f"{path.name}-")):
        return True
    same_kind = _PACKED.sub("", name).endswith(path.suffix)
    return same_kind and name.startswith(tuple(path.stem + mark for mark in ".-_"))


def folder_of(path: Path) -> Path:
    """Return the folder of a run: the path itself, or the folder of its log file."""
    return path if path.is_dir() else path.parent


def fingerprint(path: Path) -> Fingerprint:
    """Return a fingerprint that changes when a log, or any log below a folder, is written to."""
    if not path.is_dir():
        # our trainer's events file lies beside its log and is read with it
        return _fingerprint_file(path), _fingerprint_file(path.with_name(event_log.NAME))
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
    return tuple(_fingerprint_file(file) for file in files), names


def _fingerprint_file(path: Path) -> Fingerprint:
    try:
        state = path.stat()
    except OSError:
        return (os.fspath(path),)
    return os.fspath(path), state.st_ino, state.st_size, state.st_mtime_ns
