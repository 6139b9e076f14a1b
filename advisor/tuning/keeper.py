"""A supervisor process for one run: starts it, stops it when the loop dies, records how it ended.

Started by its path (``python -I -S keeper.py FOLDER``), with the standard library only. The folder
holds ``job.json`` (words, cwd). The loop writes commands to standard input: a line ``stop WHY``
ends the run for good, ``pause`` ends it so that it can be resumed, and end of file means that the
loop died. ``exit.json`` is written atomically, and only when the run ended by itself or for good.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

JOB, EXIT, ALIVE, CONSOLE, STARTED = "job.json", "exit.json", "alive", "console.log", "run.json"
ATTEMPTS = "attempts.jsonl"
BUSY = 75  # exit status: another keeper holds this run
_GRACE = 60.0  # seconds from SIGTERM of the trainer to SIGTERM of its whole group
_LAST_WORD = 5.0  # seconds from there to SIGKILL


def main(folder: Path) -> int:
    """Supervise the run of a folder until it ends; return the exit status of the keeper itself."""
    with open_to_append(folder / ALIVE) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        return _Supervisor(folder, held.fileno()).run()


def open_to_append(place: Path, mode: int = 0o644) -> IO[bytes]:
    """Open a file in a run's folder for appending; replace a link or pipe of that name.

    Links are removed, not followed: a run's folder may come from somebody else.
    """
    if place.is_symlink() or (place.exists() and not place.is_file()):
        place.unlink()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(place, flags, mode), "ab", buffering=0)


def replace_note(place: Path, value: object, mode: int = 0o644) -> None:
    """Write a JSON file atomically."""
    new = place.with_name(f".{place.name}.new")
    new.unlink(missing_ok=True)
    with open_to_append(new, mode) as file:
        file.write(json.dumps(value).encode() + b"\n")
    new.replace(place)


class _Supervisor:
    """One run under supervision. ``lock`` is the file descriptor of the folder's lock."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock = folder, lock
        self.why: str | None = None  # the loop's command: None, 'pause' or 'stop ...'
        self.wakes, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        os.set_blocking(self.wakes, False)

    def run(self) -> int:
        job = json.loads((self.folder / JOB).read_text(encoding="utf-8"))
        self._write(JOB, {"words": job.get("shown", job["words"]), "cwd": job["cwd"]})
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.waker)
        signal.signal(signal.SIGTERM, self._ask_to_end)
        began, wall = time.monotonic(), time.time()
        try:
            child = self._start(job)
        except OSError as error:
            with open_to_append(self.folder / CONSOLE) as out:
                out.write(f"{job['words'][0]}: cannot be started ({error.strerror})\n".encode())
            self._record(127, began, wall)
            return 0
        self._write(STARTED, {"group": child.pid, "keeper": os.getpid(), "started": wall})
        self._wait(child)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)  # processes that the trainer left behind
        self._record(child.returncode, began, wall)
        return 0

    def _start(self, job: dict[str, object]) -> subprocess.Popen[bytes]:
        words = [str(word) for word in job["words"]]  # type: ignore[attr-defined]
        with open_to_append(self.folder / CONSOLE) as out:
            return subprocess.Popen(
                words, cwd=str(job["cwd"]), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, process_group=0, pass_fds=[self.lock],
                preexec_fn=_die_with_parent,
            )  # fmt: skip

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        """Wait until the run ends; after a command to stop, send stronger and stronger signals."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.wakes, selectors.EVENT_READ)
            ready.register(0, selectors.EVENT_READ)
            steps = [
                (0.0, lambda: child.send_signal(signal.SIGTERM)),
                (_GRACE, lambda: os.killpg(child.pid, signal.SIGTERM)),
                (_LAST_WORD, lambda: os.killpg(child.pid, signal.SIGKILL)),
            ]
            due: float | None = None
            while child.poll() is None:
                if self.why is not None and due is None:
                    due = time.monotonic()
                if due is not None and steps and time.monotonic() >= due:
                    with contextlib.suppress(ProcessLookupError):
                        steps.pop(0)[1]()
                    due = time.monotonic() + (steps[0][0] if steps else 0)
                rest = None if due is None or not steps else max(0.0, due - time.monotonic())
                for key, _ in ready.select(rest):
                    self._read_command(key.fd, ready)

    def _read_command(self, fd: int, ready: selectors.BaseSelector) -> None:
        if fd == self.wakes:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 512)
            return
        said = os.read(0, 4096).decode("utf-8", "replace").strip()
        self.why = self.why or (said if said.startswith("stop") else "pause")
        if not said:
            ready.unregister(0)

    def _ask_to_end(self, *_: object) -> None:
        self.why = self.why or "pause"

    def _record(self, status: int, began: float, wall: float) -> None:
        seconds = time.monotonic() - began
        attempt = {"status": status, "seconds": seconds, "started": wall, "word": self.why}
        if self.why != "pause" or status == 0:  # a paused run is resumed, so it has no exit
            why = (self.why or "").removeprefix("stop").strip() if self.why != "pause" else ""
            self._write(EXIT, {**attempt, "stopped": why})
        with open_to_append(self.folder / ATTEMPTS) as file:
            file.write(json.dumps(attempt).encode() + b"\n")

    def _write(self, name: str, value: dict[str, object]) -> None:
        replace_note(self.folder / name, value)


def _die_with_parent() -> None:
    """Ask Linux to send SIGTERM to the run when its keeper is killed."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
