"""Kill -9 `advise tune` at random moments: no finished run may be lost, none run twice.

    python -m benchmarks.tuning.kills [--kills 100] [--seed 0] [--write]

A trainer that only simulates its curves stands in, so that a session takes seconds. Each session is
killed again and again, the loop alone or with all that it started (as a machine that goes down),
and gone on with by --resume until it ends. After every kill the ledger must hold all that it held
before, unchanged; at the end each run must have finished once, and the session must have come to
the same runs and losses as one that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.places import RESULTS, ROOT, environment

STUB = ROOT / "tests" / "tuning" / "stub_trainer.py"
RESULT = RESULTS / "tuning_kills.md"
CONFIG = {
    "learning_rate": 1e-5, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1,
    "num_train_epochs": 3, "warmup_steps": 10, "lr_scheduler_type": "cosine", "seed": 1,
}  # fmt: skip
RUNS, SECONDS = 4, 0.3  # whole runs of a session, seconds of a run
Row = tuple[object, ...]


@dataclass(slots=True)
class Tally:
    """What a campaign of kills came to."""

    kills: int = 0
    whole: int = 0  # of them: with all processes below
    sessions: int = 0
    runs: int = 0
    in_a_run: int = 0  # kills while a run was under way
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.twice, *self.astray, *self.stuck]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is killed: the words that begin a session, and how long it is left alone."""

    config: str
    text: str
    begin: tuple[str, ...]
    runs: int = RUNS
    seconds: tuple[float, float] = (0.3, 7.0)
    ends: Callable[[Path], int] = lambda run: 0  # how often a run's trainer came to its end


def ends_of_stub(run: Path) -> int:
    """How often a run finished: by its own word and by that of its keeper.

    The word of one alone is that of a run killed between its last line and the end of its process:
    it was cut off, and runs again.
    """
    return min(lines_of(run / "done.txt", "done"), lines_of(run / "attempts.jsonl", '"status": 0'))


def lines_of(path: Path, holding: str) -> int:
    lines = path.read_text().splitlines() if path.is_file() else []
    return sum(holding in line for line in lines)


STAND_IN = Subject(
    "config.json",
    json.dumps(CONFIG, indent=2),
    ("--command", f"{sys.executable} {STUB} {{config}} {{run_dir}} --seconds {SECONDS}"),
    ends=ends_of_stub,
)


def command(place: Path, subject: Subject, resume: bool) -> list[str]:
    """Return the command of a session, to begin it or to go on."""
    words = [sys.executable, "-m", "advisor", "tune"]
    session = ["--session", str(place / "session"), "--runs", str(subject.runs), "--json"]
    if resume:
        return [*words, *session, "--resume"]
    return [*words, str(place / subject.config), *session, *subject.begin]


def start(place: Path, subject: Subject, resume: bool) -> subprocess.Popen[str]:
    env = environment()
    return subprocess.Popen(
        command(place, subject, resume), cwd=place, env=env, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def ledger(place: Path) -> dict[int, Row]:
    """Return the finished runs that the ledger holds, by number."""
    path = place / "session" / "ledger.sqlite"
    if not path.is_file():
        return {}
    with sqlite3.connect(path) as base:
        try:
            found = base.execute(
                "SELECT number, kind, folder, config, outcome FROM runs WHERE state = 'done'"
            ).fetchall()
        except sqlite3.OperationalError:  # killed before its tables were there
            return {}
    return {row[0]: tuple(row[1:]) for row in found}


def story(place: Path) -> list[Row]:
    """Return what a session came to: its runs with their configs, and their lowest losses."""
    return [
        (number, row[0], row[2], json.loads(str(row[3]))["best_val"])
        for number, row in sorted(ledger(place).items())
    ]


def below(pid: int) -> list[int]:
    """Return the processes below one, from /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(words[1]), []).append(int(stat.parent.name))
        except OSError:
            continue
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def one_session(
    tally: Tally, draw: random.Random, most: int, expected: list[Row], subject: Subject = STAND_IN
) -> None:
    """Begin a session, kill it up to ``most`` times, and see that it ends as it should."""
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        (place / subject.config).write_text(subject.text)
        for _ in range(most):
            if _killed(tally, draw, place, subject):
                break
        _finish(tally, place, subject, expected)
    finally:
        tally.sessions += 1
        shutil.rmtree(place, ignore_errors=True)


def _killed(tally: Tally, draw: random.Random, place: Path, subject: Subject) -> bool:
    """Let it run for a random time and kill it; True where it ended before."""
    before = ledger(place)
    process = start(place, subject, bool(before))
    try:
        process.communicate(timeout=draw.uniform(*subject.seconds))
    except subprocess.TimeoutExpired:
        pass
    else:
        return process.returncode == 0
    down = draw.random() < 0.5
    victims = [process.pid, *(below(process.pid) if down else [])]
    tally.in_a_run += len(below(process.pid)) > 0
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()
    tally.kills += 1
    tally.whole += down
    after = ledger(place)
    name = f"session {tally.sessions + 1}"
    tally.lost += [f"{name}: run {n}" for n, row in before.items() if after.get(n) != row]
    return False


def _finish(tally: Tally, place: Path, subject: Subject, expected: list[Row]) -> None:
    name = f"session {tally.sessions + 1}"
    process = start(place, subject, bool(ledger(place)))
    try:
        _, said = process.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        process.kill()
        tally.stuck.append(f"{name}: does not end")
        return
    if process.returncode:
        tally.stuck.append(f"{name}: ended with {process.returncode}: {said[-300:]}")
        return
    found = story(place)
    tally.runs += len(found)
    if expected and found != expected:
        tally.astray.append(f"{name}: {len(found)} runs, {len(expected)} expected, or other ones")
    for run in sorted((place / "session" / "runs").iterdir()):
        count = subject.ends(run)
        if count > 1:
            tally.twice.append(f"{name}: {run.name} finished {count} times")


def unharmed() -> list[Row]:
    """Return what a session comes to that nobody kills."""
    tally = Tally()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        (place / STAND_IN.config).write_text(STAND_IN.text)
        _finish(tally, place, STAND_IN, [])
        if tally.faults:
            raise SystemExit("\n".join(tally.faults))
        return story(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def campaign(kills: int, seed: int, most: int = 6, told: bool = False) -> Tally:
    """Kill so many times, over as many sessions as that takes."""
    draw, tally, expected = random.Random(seed), Tally(), unharmed()
    while tally.kills < kills:
        one_session(tally, draw, min(most, kills - tally.kills), expected)
        if told:
            print(f"{tally.kills} kills, {tally.sessions} sessions", *tally.faults, sep="\n  ",
                  flush=True)  # fmt: skip
    return tally


def page(tally: Tally, seconds: float, seed: int) -> str:
    """Return the results as text."""
    lines = [
        "# Kills of `advise tune`",
        "",
        f"`python -m benchmarks.tuning.kills --kills {tally.kills} --seed {seed}`"
        f" ({seconds:.0f} s of wall time).",
        "",
        "| what | count |",
        "| --- | ---: |",
        f"| kills -9 at random moments | {tally.kills} |",
        f"| of them with all processes below the loop | {tally.whole} |",
        f"| of them while a run was under way | {tally.in_a_run} |",
        f"| sessions, each gone on with until it ended | {tally.sessions} |",
        f"| runs in them | {tally.runs} |",
        f"| finished runs lost or changed | {len(tally.lost)} |",
        f"| runs that finished twice | {len(tally.twice)} |",
        f"| sessions that came to other runs than one nobody killed | {len(tally.astray)} |",
        f"| sessions that did not go on | {len(tally.stuck)} |",
    ]
    return "\n".join([*lines, *(f"\n- {fault}" for fault in tally.faults)]) + "\n"


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--write", action="store_true")
    given = words.parse_args()
    began = time.monotonic()
    tally = campaign(given.kills, given.seed, told=True)
    text = page(tally, time.monotonic() - began, given.seed)
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
