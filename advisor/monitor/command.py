"""A command for each finding, run in the background: the training never waits for it."""

from __future__ import annotations

import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from advisor.errors import AdvisorError

AT_ONCE = 4  # commands at the same time
WAITING = 256  # findings in the queue; further ones are dropped, which is reported once
SECONDS = 30.0  # timeout of one command


class OnFinding:
    """Runs a command in the background, without a shell, with each text on its standard input.

    AdvisorError where the command cannot be run; later failures are reported once on ``sink``.
    """

    def __init__(
        self,
        command: str,
        seconds: float = SECONDS,
        sink: Callable[[str], object] | None = None,
    ) -> None:
        self.words = split_command(command)
        self._seconds = seconds
        self._sink = sink or (lambda text: print(text, file=sys.stderr, flush=True))
        self._queue: queue.Queue[bytes | None] = queue.Queue(WAITING)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._has_reported = False

    def run(self, text: str) -> None:
        """Queue one finding, and return at once."""
        try:
            self._queue.put_nowait(text.encode("utf-8", "backslashreplace"))
        except queue.Full:
            self._report_once("too many at once, findings were dropped")
            return
        if len(self._threads) < AT_ONCE:
            thread = threading.Thread(
                target=self._work, args=(self._queue,), daemon=True, name="advise-on-finding"
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Wait for the queue to empty, at most as long as one command may take."""
        until = time.monotonic() + self._seconds + 1
        waiting, threads = self._queue, self._threads
        self._queue, self._threads = queue.Queue(WAITING), []
        for _ in threads:
            try:
                waiting.put(None, timeout=max(0.0, until - time.monotonic()))
            except queue.Full:
                break
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        left = 0
        while not waiting.empty():
            left += waiting.get() is not None
        if left:
            self._say(f"too slow, {left} findings were dropped at the end")

    def _work(self, waiting: queue.Queue[bytes | None]) -> None:
        while (text := waiting.get()) is not None:
            try:
                self._run_once(text)
            except Exception as error:  # whatever it is, the training continues
                self._report_once(f"{type(error).__name__}: {error}")

    def _run_once(self, text: bytes) -> None:
        try:
            process = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C ends the watch, not a command that it started
            )
        except OSError as error:
            self._report_once(error.strerror or str(error))
            return
        with process:
            try:
                _, errors = process.communicate(text, self._seconds)
            except subprocess.TimeoutExpired:
                self._report_once(f"ended after {self._seconds:g} seconds")
                _kill(process)
                return
        if process.returncode:
            said = errors.decode("utf-8", "replace").strip().splitlines()
            self._report_once(
                f"exit status {process.returncode}" + (f": {said[-1]}" if said else "")
            )

    def _report_once(self, what: str) -> None:
        """Report the first failure only: later ones are most likely the same."""
        with self._lock:
            before, self._has_reported = self._has_reported, True
        if not before:
            self._say(what)

    def _say(self, what: str) -> None:
        line = " ".join(what.split())[:300]
        self._sink(f"advise: --on-finding {shlex.join(self.words)}: {line}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and its child processes."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):  # no groups here, or it has gone just now
        process.kill()


def split_command(command: str) -> list[str]:
    """Return the words of a command; AdvisorError where it cannot be run."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AdvisorError(f"--on-finding {command}: {error}; quote it as for a shell") from None
    if not words:
        raise AdvisorError("--on-finding: the command is empty; give a program and its arguments")
    if shutil.which(words[0]) is None:
        there = os.path.exists(words[0])  # noqa: PTH110  (as which looks it up)
        what = "cannot be executed" if there else "no such program"
        raise AdvisorError(f"--on-finding {words[0]}: {what}; there is no shell, give a program")
    return words
