"""Starting a run in its own folder, and reading how it ended, even if the loop was killed."""

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

_PATIENCE = 20.0  # seconds for a run of a killed loop to end by itself before SIGKILL


@dataclass(frozen=True, slots=True)
class Job:
    """A command to run without a shell."""

    folder: Path  # of the run
    words: Sequence[str]
    cwd: Path  # the user's own working directory
    env: Mapping[str, str] = field(default_factory=dict)  # added to the environment


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended."""

    status: int  # exit status; negative: the signal that killed it
    seconds: float  # wall-clock time of all attempts
    stopped: str = ""  # why we stopped it, '' where it ended by itself


class Running(Protocol):
    """A run in progress."""

    def poll(self) -> bool:
        """Return whether the run has ended or vanished."""

    def stop(self, why: str) -> None:
        """End the run for good, with SIGTERM first."""

    def pause(self) -> None:
        """End the run so that it can be resumed, and wait until it has ended."""


class Launcher(Protocol):
    """A way to start runs: on this machine, or on a cluster."""

    def start(self, job: Job) -> Running:
        """Start a job and return at once."""


class Local:
    """Runs as processes on this machine, each under a keeper."""

    def start(self, job: Job) -> Running:
        prepare(job)
        return _Process(start_keeper(job.folder, job.env))


def prepare(job: Job) -> None:
    """Write the keeper's input into the run's folder; AdvisorError on Windows."""
    if os.name != "posix":
        raise AdvisorError("tune and sweep need Linux or macOS: they keep runs by process groups")
    job.folder.mkdir(parents=True, exist_ok=True)
    words = list(job.words)
    said = {"words": words, "cwd": str(job.cwd), "shown": redact_value("", words)}
    # mode 600: the file holds the command's secrets until the keeper has read it
    keeper.replace_note(job.folder / keeper.JOB, said, 0o600)


def start_keeper(folder: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the keeper in a new session, so that Ctrl-C reaches the loop and not the run."""
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


def read_exit(folder: Path) -> Exit | None:
    """Return how the run of a folder ended, None while it runs or after it was cut off.

    AdvisorError where ``exit.json`` is not one that a keeper wrote.
    """
    try:
        said = json.loads((folder / keeper.EXIT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    try:
        # a keeper killed between its two files leaves the last attempt out of attempts.jsonl
        seconds = max(sum_seconds(folder), float(said["seconds"]))
        return Exit(int(said["status"]), seconds, str(said["stopped"]))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise AdvisorError(f"{folder / keeper.EXIT}: not written by tune ({error!r})") from None


def sum_seconds(folder: Path) -> float:
    """Return the wall-clock seconds of all attempts at a run."""
    total = 0.0
    with contextlib.suppress(OSError):
        for line in (folder / keeper.ATTEMPTS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                total += float(json.loads(line)["seconds"])
    return total


def settle(folder: Path) -> None:
    """Wait until a folder's run from an earlier loop has ended; kill it after 20 seconds.

    AdvisorError where it still runs after 40 seconds.
    """
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
                raise AdvisorError(f"{folder}: its run is still going and cannot be killed; end it")


def _kill(folder: Path) -> None:
    """Kill the process group of a run, if it still holds the run's lock.

    A reused process id does not hold the lock, so no stranger is killed.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        group = int(json.loads((folder / keeper.STARTED).read_text(encoding="utf-8"))["group"])
        if group > 1 and _holds_lock(folder / keeper.ALIVE, group):
            os.killpg(group, signal.SIGKILL)


def _holds_lock(lock: Path, group: int) -> bool:
    """Return whether a process of the group has the lock open; True without /proc (macOS)."""
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
