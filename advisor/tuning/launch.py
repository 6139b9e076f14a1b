"""Starting a run in a folder of its own, and what became of it, also after a kill of the loop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from advisor.base.redact import redact_value
from advisor.errors import AdvisorError
from advisor.tuning import keeper

_PATIENCE = 20.0  # seconds that a run of a killed loop gets to end by itself


@dataclass(frozen=True, slots=True)
class Job:
    """What is to run: no shell, in the user's own working directory."""

    folder: Path
    words: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended; ``stopped`` says why we ended it, '' where it ended by itself."""

    status: int
    seconds: float
    stopped: str = ""


class Running(Protocol):
    """A run that goes on."""

    def poll(self) -> bool:
        """Say whether it has ended (or is gone)."""

    def stop(self, why: str) -> None:
        """End it for good, politely."""

    def pause(self) -> None:
        """End it so that it can be gone on with, and wait for that."""


class Launcher(Protocol):
    """A place where runs run."""

    def start(self, job: Job) -> Running: ...


class Local:
    """Processes of this machine, each kept by a small process of ours."""

    def start(self, job: Job) -> Running:
        prepare(job)
        return _Process(start_keeper(job.folder, job.env))


def prepare(job: Job) -> None:
    """Write what the keeper needs into the run's folder."""
    if os.name != "posix":
        raise AdvisorError("tune and sweep need Linux or macOS: they keep runs by process groups")
    job.folder.mkdir(parents=True, exist_ok=True)
    words = list(job.words)
    said = {"words": words, "cwd": str(job.cwd), "shown": redact_value("", words)}
    # until the keeper has read it, secrets of the command stand in it
    keeper.replace_note(job.folder / keeper.JOB, said, 0o600)


def start_keeper(folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the keeper in a session of its own: a Ctrl-C of the terminal is the loop's affair."""
    words = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(folder.resolve())]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, **env},
    )  # fmt: skip


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]

    def poll(self) -> bool:
        return self.process.poll() is not None

    def stop(self, why: str) -> None:
        self._say(f"stop {' '.join(why.split())}\n")

    def pause(self) -> None:
        self._say("pause\n")
        self.process.wait()

    def _say(self, line: str) -> None:
        pipe = self.process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):
            if pipe is not None:
                pipe.write(line.encode())
                pipe.flush()


def exit_of(folder: Path) -> Exit | None:
    """Return how the run of a folder ended, None where it has not (or was cut off)."""
    try:
        said = json.loads((folder / keeper.EXIT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    try:
        seconds = max(spent(folder), float(said["seconds"]))  # killed between its two notes
        return Exit(int(said["status"]), seconds, str(said["stopped"]))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise AdvisorError(f"{folder / keeper.EXIT}: no note of ours ({error!r})") from None


def spent(folder: Path) -> float:
    """Return the seconds of all attempts at a run."""
    total = 0.0
    with contextlib.suppress(OSError):
        for line in (folder / keeper.ATTEMPTS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                total += float(json.loads(line)["seconds"])
    return total


def settle(folder: Path) -> None:
    """Wait until nothing of an earlier loop runs in a folder any more; then end it."""
    import fcntl

    if not folder.is_dir():
        return
    began, killed = time.monotonic(), False
    with keeper.open_to_append(folder / keeper.ALIVE) as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.05)
            if time.monotonic() - began > _PATIENCE and not killed:
                killed = True
                _kill(folder)
            if time.monotonic() - began > 2 * _PATIENCE:
                raise AdvisorError(f"{folder}: its run still goes on and cannot be ended; end it")


def _kill(folder: Path) -> None:
    """End the processes of a run whose lock is still held: so they are its own."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        group = int(json.loads((folder / keeper.STARTED).read_text(encoding="utf-8"))["group"])
        if group > 1 and _holds(folder / keeper.ALIVE, group):
            os.killpg(group, signal.SIGKILL)


def _holds(lock: Path, group: int) -> bool:
    """Say whether a process of the group has the lock open; where none can be seen, yes."""
    processes = Path("/proc")
    if not (processes / "self/fd").is_dir():
        return True
    for place in processes.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(place.name)) == group and any(
                opened.exists() and opened.samefile(lock) for opened in (place / "fd").iterdir()
            ):
                return True
    return False
