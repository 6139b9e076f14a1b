"""Where a run is written. A run has a folder of its own and never takes another's by accident.

A fresh run goes to ``checkpoint.checkpoint_dir``; where that holds a run already, to a subfolder
``run-2``, ``run-3``, ... (inside it, so that a mounted disk stays the disk that is written to).
Only ``--resume`` or ``checkpoint.restore_from`` goes on with an earlier run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from train.config.command import LATEST
from train.config.nodes import values_as_written
from train.config.reading import read_file
from train.errors import TrainConfigError

CONFIG = "config.yaml"
_CHECKPOINT = re.compile(r"epoch_\d+_step_\d+")
_LINKS = ("LATEST", "LOWEST_VAL")
_LOGS = ("training.jsonl", "validation.jsonl", "events.jsonl")
_MOST_RUNS = 10_000


@dataclass(frozen=True, slots=True)
class RunPlace:
    """A run's folder, and the checkpoint that it goes on from (None: a fresh run)."""

    run_dir: Path
    resume: str | None = None


def claim(checkpoint_dir: Path, run_dir: Path | None, text: str) -> RunPlace:
    """Take the folder of a fresh run by writing its config there, and only there."""
    if run_dir is not None:
        if not _take(run_dir, text):
            raise TrainConfigError(
                f"{run_dir}: holds a run already; go on with it (--resume {run_dir}),"
                " or give another --run-dir"
            )
        return RunPlace(run_dir)
    for number in range(1, _MOST_RUNS):
        folder = checkpoint_dir if number == 1 else checkpoint_dir / f"run-{number}"
        if _take(folder, text):
            return RunPlace(folder)
    raise TrainConfigError(f"{checkpoint_dir}: holds {_MOST_RUNS} runs; give another --run-dir")


def release(place: RunPlace) -> None:
    """Free a folder in which nothing happened, for the next try."""
    if place.resume is not None:
        return
    try:
        inside = list(place.run_dir.iterdir())
        if any(path.name != CONFIG and (path.is_dir() or path.stat().st_size) for path in inside):
            return
        for path in inside:
            path.unlink()
        place.run_dir.rmdir()
    except OSError:
        return  # tidying up must not hide the error that is being reported


def find_run(resume: str, checkpoint_dir: Path) -> RunPlace:
    """Return the run and checkpoint that ``--resume`` means."""
    if resume.lower() == LATEST:
        return _newest(checkpoint_dir)
    for path in (Path(resume), checkpoint_dir / resume):
        if not path.is_dir():
            continue
        if path.name in _LINKS or _CHECKPOINT.fullmatch(path.name):
            return RunPlace(path.parent, path.resolve().name)
        if holds_run(path):
            return RunPlace(path, LATEST)
    raise TrainConfigError(
        f"--resume {resume}: no run or checkpoint there; give a run folder, one of its"
        " epoch_*_step_* folders, or leave it out for the newest run"
    )


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds anything of a run."""
    if any((folder / name).exists() for name in (CONFIG, *_LOGS)):
        return True
    return folder.is_dir() and any(_CHECKPOINT.fullmatch(path.name) for path in folder.iterdir())


def _newest(checkpoint_dir: Path) -> RunPlace:
    runs = [checkpoint_dir, *checkpoint_dir.glob("run-*")]
    found = [(_written(run), run) for run in runs if run.is_dir() and _has_logged(run)]
    if not found:
        raise TrainConfigError(
            f"--resume: no run in {checkpoint_dir}; give its folder, or leave out --resume to"
            " start anew"
        )
    return RunPlace(max(found)[1], LATEST)


def _has_logged(run: Path) -> bool:
    return _written(run) > 0


def _written(run: Path) -> float:
    """Return when a run last wrote something."""
    places = [run / name for name in _LOGS] + list(run.glob("epoch_*_step_*"))
    return max((path.stat().st_mtime for path in places if path.exists()), default=0.0)


def _take(folder: Path, text: str) -> bool:
    """Write the config into a folder without a run; return False if it holds one."""
    try:
        if holds_run(folder):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        # x: of two runs that start at once, one gets the folder
        with (folder / CONFIG).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if folder.is_dir():
            return False
        raise TrainConfigError(f"{folder}: a file, not a folder; give another --run-dir") from None
    except OSError as error:
        raise TrainConfigError(
            f"{folder}: cannot be written ({error.strerror}); give another --run-dir"
        ) from None
    return True


def lock(run_dir: Path) -> IO[str]:
    """Hold a run's folder while the file is open: a run that still runs cannot be resumed."""
    try:
        file = (run_dir / ".lock").open("w", encoding="utf-8")
    except OSError as error:
        raise TrainConfigError(
            f"{run_dir}: cannot be written ({error.strerror}); make it writable, or start a new run"
        ) from None
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock

        flock(file, LOCK_EX | LOCK_NB)
    except ImportError:  # not on Windows
        return file
    except BlockingIOError:
        file.close()
        raise TrainConfigError(
            f"{run_dir}: another process is training there; wait for it, or stop it first"
        ) from None
    except OSError:  # a file system without locks
        return file
    return file


# What a checkpoint's weights and optimiser are tied to.
_TIED = ("model", "peft", "quantization", "optimizer._target_")


def changes(run_dir: Path, tree: Mapping[str, object]) -> list[str]:
    """Return what a resumed run changes; ConfigError if it must not change."""
    path = run_dir / CONFIG
    if not path.is_file():
        return []
    old, new = dict(_flat(values_as_written(read_file(path)))), dict(_flat(tree))
    found = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        what = f"{key} was {old.get(key, 'not set')}, now {new.get(key, 'not set')}"
        if any(key == tied or key.startswith(f"{tied}.") for tied in _TIED):
            raise TrainConfigError(
                f"--resume: {what}; the checkpoint does not fit that: start a new run, or take the"
                " change back"
            )
        found.append(what)
    return found


def _flat(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(tree, Mapping):
        yield prefix.rstrip("."), tree
        return
    for key, value in tree.items():
        yield from _flat(value, f"{prefix}{key}.")


def rewrite(run_dir: Path, text: str) -> None:
    """Write the config that holds from now on into a resumed run's folder."""
    new = run_dir / f".{CONFIG}.new"
    new.write_text(text, encoding="utf-8")
    new.replace(run_dir / CONFIG)
