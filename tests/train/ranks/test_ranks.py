"""Two real processes over gloo: one decision, one gradient, and who lags or is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.precision import TRAINED32  # noqa: E402
from tests.train.advice.advised import Scripted, World, change  # noqa: E402
from tests.train.loop.standins import Setup, make_batch  # noqa: E402
from tests.train.ranks.worker import STEPS  # noqa: E402
from tests.train.runs.launch import ROOT, environment  # noqa: E402
from train.ranks.lag import LagWatch  # noqa: E402


def start(task: str, folder: Path, rank: int) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.train.ranks.worker", task, str(folder), str(rank)]
    return subprocess.Popen(
        words, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def both(task: str, folder: Path) -> list[Any]:
    """What both ranks print."""
    ranks = [start(task, folder, rank) for rank in (0, 1)]
    found = []
    for process in ranks:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-2000:]
        found.append(json.loads(out.splitlines()[-1]))
    return found


def test_all_ranks_get_the_first_ones_decision(tmp_path: Path) -> None:
    first, second = both("agree", tmp_path)
    assert first == second
    assert first[0]["kind"] == "stop" and "↑" in first[0]["text"] and first[1] is None


@pytest.mark.slow
def test_a_rank_that_lags_is_told_by_the_first_and_once(tmp_path: Path) -> None:
    first, second = both("lag", tmp_path)
    assert first == [[9, 1, False], [29, 1, True]]
    assert second == []


@pytest.mark.slow
def test_a_rank_that_is_killed_is_noticed_by_the_first(tmp_path: Path) -> None:
    ranks = [start("beat", tmp_path, rank) for rank in (0, 1)]
    until = time.monotonic() + 60
    while not (tmp_path / "ready-1").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)  # a few beats
    ranks[1].kill()
    ranks[1].communicate()
    out, err = ranks[0].communicate(timeout=120)
    assert json.loads(out.splitlines()[-1]) == [1], err[-2000:]


@pytest.mark.slow
def test_two_ranks_train_as_one_process_does_and_go_back_together(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir(), (tmp_path / "one").mkdir()
    first, second = both("train", tmp_path / "two")
    assert first["weights"] == second["weights"]
    assert first["back"] == [4] and second["steps"] == first["steps"]
    setup = Setup(steps=STEPS, validation=[make_batch([6, 7], 100)], dropout=0.0)
    alone = World(
        tmp_path / "one", [lambda: Scripted({7: [change(7, first_step=4)]}), Scripted], setup=setup
    )
    _, kept = alone.run()
    assert [r.step for r in kept.steps] == first["steps"]
    assert first["losses"] == pytest.approx([r.loss for r in kept.steps], rel=TRAINED32)


def test_a_single_slow_look_is_no_lag() -> None:
    watch = LagWatch()
    looks = [(1.0, 1.0, 3.0), (1.0, 1.1, 1.0), (1.0, 1.0, 1.0)]
    assert [lag for seconds in looks for lag in watch.look(seconds)] == []
