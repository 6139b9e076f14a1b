"""Runs on the machines of a Ray cluster; imported only for ``--launcher ray``.

The session's folder must be on a disk that all machines share. On each machine a run has the same
keeper as a local run; the loop sends it commands through a file ``word`` in the run's folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from advisor.tuning.launch import Job, Running, prepare, start_keeper

WORD = "word"
_LOOK = 0.5  # seconds between two looks for a command


class OnRay:
    """Starts each run as a Ray task with one CPU and RAY_TASK_GPUS GPUs (default 0)."""

    def __init__(self) -> None:
        ray: Any = import_module("ray")
        self._ray = ray
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False)
        gpus = float(os.environ.get("RAY_TASK_GPUS", "0"))
        self._task = ray.remote(num_gpus=gpus, max_retries=0)(keep)

    def start(self, job: Job) -> Running:
        prepare(job)
        (job.folder / WORD).unlink(missing_ok=True)
        task = self._task.remote(str(job.folder), dict(job.env))
        return _Task(self._ray, task, job.folder)


def keep(folder: str, env: Mapping[str, str]) -> int:
    """Supervise a run on the machine of the task; the function that a Ray worker executes."""
    process = start_keeper(Path(folder), env)
    pipe = process.stdin
    while process.poll() is None:
        word = Path(folder) / WORD
        if pipe is not None and word.is_file():
            pipe.write(word.read_bytes())
            pipe.flush()
            pipe = None
        time.sleep(_LOOK)
    return process.returncode


@dataclass(slots=True)
class _Task:
    ray: Any
    task: Any
    folder: Path

    def poll(self) -> bool:
        done, _ = self.ray.wait([self.task], timeout=0)
        return bool(done)

    def stop(self, why: str) -> None:
        self._say(f"stop {' '.join(why.split())}\n")

    def pause(self) -> None:
        self._say("pause\n")
        self.ray.wait([self.task])

    def _say(self, line: str) -> None:
        new = self.folder / f".{WORD}.new"
        new.write_text(line, encoding="utf-8")
        new.replace(self.folder / WORD)
