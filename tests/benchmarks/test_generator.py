"""The generator keeps its promises: kinds, lengths, repeatability, labels, formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.generated import generator


def test_there_are_enough_kinds() -> None:
    assert len(generator.FAULTS) + len(generator.NUMERIC) >= 20
    assert len(generator.HEALTHY) >= 8


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = generator.make("overfit", 3), generator.make("overfit", 3)
    assert str(first.rows) == str(second.rows)
    assert first.rows != generator.make("overfit", 4).rows


def test_a_visible_fault_is_demanded_and_a_healthy_run_demands_nothing() -> None:
    assert generator.make("nan_late", 0).must == ("nonfinite",)
    assert all(generator.make(kind, 0).must == () for kind in generator.HEALTHY)


def test_amplitudes_straddle_the_limits() -> None:
    visible = {bool(generator.make("divergence_late", seed).must) for seed in range(10)}
    assert visible == {True, False}


def test_each_format_is_written_and_labelled(tmp_path: Path) -> None:
    case = generator.make("short_twenty", 0)
    folder = generator.write(case, tmp_path, ("trainer_state", "jsonl", "csv"))
    assert sorted(p.name for p in folder.iterdir()) == [
        "metrics.csv",
        "metrics.jsonl",
        "trainer_state.json",
    ]
    labels = json.loads(json.dumps(generator.label_file([case])))
    assert labels["cases"]["short_twenty"]["must_any"] == []


def test_the_quoted_half_is_kept_apart() -> None:
    with pytest.raises(SystemExit):
        generator.seeds_of("0:10", "quoted")
    with pytest.raises(SystemExit):
        generator.seeds_of("1000:1010", "tune")
