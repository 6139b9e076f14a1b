"""Killed at any moment, `advise tune` loses no finished run and runs none twice."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.tuning.kills import Subject, Tally, campaign, one_session
from tests.tuning.tiny import config_text


@pytest.mark.slow
def test_ten_kills_of_a_trainer_that_simulates() -> None:
    tally = campaign(10, seed=7)
    assert tally.faults == [] and tally.kills == 10


def ends_of_ours(run: Path) -> int:
    """How often our trainer told its end."""
    events = run / "run" / "events.jsonl"
    lines = events.read_text().splitlines() if events.is_file() else []
    return sum(json.loads(line)["kind"] == "end" for line in lines)


@pytest.mark.slow
def test_five_kills_of_our_own_trainer(base: Path) -> None:
    pytest.importorskip("torch")
    tally = Tally()
    real = Subject("my.yaml", config_text(base), (), runs=2, seconds=(4.0, 14.0), ends=ends_of_ours)
    one_session(tally, random.Random(3), 5, [], real)
    assert tally.faults == [] and tally.runs >= 2
