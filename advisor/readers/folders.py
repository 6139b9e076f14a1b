"""Walking a directory: which files may be logs, grouped into the folders of runs."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from advisor.readers import names, role_of

MAX_DEPTH = 8
MAX_FILES = 20_000
MAX_FOLDERS = 5_000
_SKIP = frozenset({
    ".git", "node_modules", "__pycache__", ".venv", "venv", "site-packages", ".ipynb_checkpoints",
})  # fmt: skip
TRACKERS = frozenset({"wandb", "mlruns"})  # hold copies: searched only where no other log is found
_CHECKPOINT = re.compile(r"^(?:checkpoint|ckpt|epoch_\d+_step|step|global_step)[-_]?(\d+)$")
_PACKED = re.compile(r"\.(gz|bz2|xz)$")
_NOT_LOGS = re.compile(
    r"^(requirements.*|readme.*|licen[cs]e.*|merges|vocab|files_metadata|special_tokens.*"
    r"|tokenizer.*|constraints|robots)\.txt$|^wandb-.*\.json$"
    r"|^(all|train|eval|predict|test)_results\.json$|(config|args|index|tokenizer).*\.json$"
)
_SIDE = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(names.SIDE_WORDS, key=len, reverse=True))})(?![a-z])"
)


@dataclass(slots=True)
class Folder:
    """The log files of one folder and of its checkpoints, by role."""

    root: Path
    states: list[Path] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    events: list[Path] = field(default_factory=list)
    texts: list[Path] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)  # step -> name of the folder

    @property
    def has_logs(self) -> bool:
        """Whether the folder holds any log."""
        return bool(self.states or self.tables or self.events or self.texts)


@dataclass(slots=True)
class Walk:
    """All folders with logs below a directory, in natural order, and what was left out."""

    folders: list[Folder] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)  # known stores that cannot be read
    cut: str = ""  # a message where a limit ended the walk
    trackers: bool = False  # a tracker's folder was skipped


def walk(top: Path, into_trackers: bool = False) -> Walk:
    """Find the log files below a directory, by their names only."""
    found = Walk()
    roots: dict[Path, Folder] = {}
    files = 0
    skip = _SKIP if into_trackers else _SKIP | TRACKERS
    for count, (place, folders, entries) in enumerate(_places(top, skip - {top.name})):
        files += len(entries)
        step = _CHECKPOINT.match(place.name) if place != top else None
        root = place.parent if step else place
        folder = roots.setdefault(root, Folder(root))
        if step and entries:
            folder.checkpoints[int(step[1][:18])] = place.name
        for name in entries:
            _sort_in(folder, place / name, found, only_state=bool(step))
        store = place / "mlruns" if "mlruns" in folders else place
        if store.name == "mlruns" or "mlflow.db" in entries:
            found.stores.append(
                f"{store}: an MLflow store, which cannot be read yet; export the metrics as CSV"
            )
        found.trackers |= bool(TRACKERS & set(folders))
        if files > MAX_FILES or count >= MAX_FOLDERS:
            found.cut = f"looked at the first {files} files below {top} only; name a folder in it"
            break
    kept = (folder for folder in roots.values() if folder.has_logs)
    found.folders = sorted(kept, key=lambda folder: natural(folder.root))
    return found


def run_folder(log: Path) -> Path:
    """Return the folder of the run that a log belongs to, also for a log in a checkpoint."""
    inside = _CHECKPOINT.match(log.parent.name)
    return log.parent.parent if inside else log.parent


def natural(path: Path) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    """Return a sort key that places version_10 after version_9."""
    return tuple(
        tuple(
            (1, int(piece), "") if piece.isdecimal() and len(piece) < 19 else (0, 0, piece)
            for piece in re.split(r"(\d+)", part)
        )
        for part in path.parts
    )


def _places(top: Path, skip: frozenset[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder, its subfolders and its files; symbolic links are not followed."""
    for place, folders, files in os.walk(top, followlinks=False):
        path = Path(place)
        inside = sorted(name for name in folders if not name.startswith("."))
        deep = len(path.relative_to(top).parts) >= MAX_DEPTH
        folders[:] = [] if deep else [name for name in inside if name not in skip]
        yield path, inside, sorted(files)[: MAX_FILES + 1]


def _sort_in(folder: Folder, path: Path, found: Walk, only_state: bool) -> None:
    name = _PACKED.sub("", path.name.lower())
    if path.suffix == ".wandb":
        found.stores.append(
            f"{path}: a W&B run file, which cannot be read yet; export its history as CSV,"
            " or give the output.log beside it"
        )
        return
    if _NOT_LOGS.search(name) or name.startswith("."):
        return
    role = role_of(name)
    if role is None or (only_state and role != "states") or not _is_file(path):
        return
    getattr(folder, role).append(path)


def _is_file(path: Path) -> bool:
    """Return False for pipes, sockets and devices; for a broken link the reader gives the error."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def side_of(name: str) -> tuple[str, str]:
    """Split a name into the side it states ('train', 'eval', 'test' or '') and the rest of it."""
    match = _SIDE.search(name.lower())
    if match is None:
        return "", name.lower()
    rest = name.lower()[: match.start()] + "*" + name.lower()[match.end() :]
    return names.SIDE_WORDS[match[1]], rest
