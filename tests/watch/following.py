"""The real `advise watch` in a process of its own, and logs that grow while it looks."""

from __future__ import annotations

import json
import math
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LONGEST = 40.0  # seconds after which a test gives up; none asserts how long anything took
News = dict[str, Any]


class Watching:
    """What `advise watch --json` has printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.news: list[News] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=self._collect, args=(process.stdout,), daemon=True).start()

    def _collect(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._lines.put(line)
        self._lines.put(None)

    def until(self, wanted: Callable[[News], bool]) -> News:
        """Wait for a piece of news; what comes before it is kept too."""
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            line = self._lines.get(timeout=LONGEST)
            assert line is not None, f"ended without it: {self.news}"
            self.news.append(json.loads(line))
            if wanted(self.news[-1]):
                return self.news[-1]
        raise AssertionError(f"not told: {[n['kind'] for n in self.news]}")

    def until_kind(self, kind: str, code: str = "") -> News:
        return self.until(lambda n: n["kind"] == kind and (not code or n.get("code") == code))

    def stop(self, number: int = signal.SIGINT) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(number)
        return self.rest()

    def rest(self) -> int:
        """Take all that is still printed; return the exit status."""
        while (line := self._lines.get(timeout=LONGEST)) is not None:
            self.news.append(json.loads(line))
        return self.process.wait(LONGEST)

    def standing(self) -> dict[str, set[str]]:
        """The codes that were raised and not withdrawn, by path."""
        codes: dict[str, set[str]] = {}
        for item in self.news:
            if item["kind"] == "raised":
                codes.setdefault(item["path"], set()).add(item["code"])
            elif item["kind"] == "withdrawn":
                codes[item["path"]].discard(item["code"])
        return codes


@contextmanager
def watching(*words: str | Path) -> Iterator[Watching]:
    """Run `advise watch --json` on these words, and end it at the end."""
    command = [sys.executable, "-m", "advisor", "watch", "--json", "--interval", "0.1"]
    with subprocess.Popen(
        [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "ADVISE_DEBUG": "1"},
    ) as process:  # fmt: skip
        try:
            yield Watching(process)
        finally:
            process.kill()


def rows(start: int, count: int, kind: str = "healthy", planned: int = 100) -> list[News]:
    """Rows of a run that learns while its rate decays, as a log of JSON lines holds them."""
    out = []
    for step in range(start, start + count):
        noise = random.Random(step).gauss(0, 0.02)
        loss = 1.2 + 2.0 * math.exp(-5 * step / planned) + noise
        rate = 1e-4 * max(0.0, 1 - step / planned)
        loss = float("nan") if kind == "nan" else loss
        out.append({"step": step, "loss": loss, "grad_norm": 0.8 + noise, "learning_rate": rate})
    return out


def append(path: Path, entries: list[News]) -> None:
    with path.open("a") as file:
        for entry in entries:
            file.write(json.dumps(entry) + "\n")


def state(path: Path, entries: list[News], planned: int = 400) -> None:
    """Write a trainer_state.json whole, as Trainer does at each checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    last = entries[-1]["step"]
    whole = {"global_step": last, "max_steps": planned, "log_history": entries}
    path.write_text(json.dumps(whole))
