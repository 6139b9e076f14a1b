"""`advise sweep` with real trainings of the bundled tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tuning.test_kills import TINY
from tests.tuning.test_real import advise

pytest.importorskip("torch")
pytestmark = pytest.mark.slow


def test_a_sweep_of_three_rates_picks_the_one_that_learns(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(TINY)
    done = advise(tmp_path, "sweep", "my.yaml", "--lr", "1e-6,3e-3,3", "--steps", "10")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pick lr-0.003" in done.stdout
    assert (tmp_path / "my.yaml").read_text() == TINY
    logs = [tmp_path / f"sweep-my/lr-{rate}/run/training.jsonl" for rate in ("1e-06", "0.003", "3")]
    rates = [max(json.loads(line)["lr"] for line in log.read_text().splitlines()) for log in logs]
    assert rates == pytest.approx([1e-6, 3e-3, 3.0])
    assert "<svg" in (tmp_path / "sweep-my" / "sweep.html").read_text()


def test_a_range_test_grows_the_rate_and_chooses_those_of_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(TINY)
    done = advise(tmp_path, "sweep", "my.yaml", "--range-test", "--steps", "12", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "range test: the loss was lowest at a rate of" in done.stderr
    lines = (tmp_path / "sweep-my/range-test/run/training.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in lines]
    assert len(rates) == 12 and rates == sorted(rates) and rates[-1] == pytest.approx(4e-3)
    said = json.loads(done.stdout)
    assert len(said["runs"]) == 4 and said["pick"]["label"].startswith("lr-")
