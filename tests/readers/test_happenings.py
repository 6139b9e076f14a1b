"""events.jsonl of our own trainer, read with the training.jsonl beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.diagnosis import diagnose
from advisor.errors import ReadError
from advisor.readers import read_file
from advisor.readers.discover import read_runs
from advisor.rulebook.load import load_rules


def write(path: Path, rows: list[dict[str, object]], tail: str = "") -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def points(steps: list[int]) -> list[dict[str, object]]:
    return [
        {"step": s, "epoch": 0, "timestamp": 1e9 + i, "loss": 2 - 0.1 * s, "tps": 100.0,
         "num_label_tokens": 9}
        for i, s in enumerate(steps)
    ]  # fmt: skip


def event(kind: str, text: str, step: int | None, **details: object) -> dict[str, object]:
    return {"kind": kind, "text": text, "timestamp": 1e9, "step": step, "details": details}


START = event("start", "lora: 10 steps", 0, max_steps=10, steps_per_epoch=5, num_train_epochs=2)


def test_events_and_facts_come_to_the_run_of_the_log(tmp_path: Path) -> None:
    write(tmp_path / "training.jsonl", points(list(range(6))))
    write(tmp_path / "events.jsonl", [START, event("oom", "step 5: out of memory", 5)])
    (run,) = read_runs(tmp_path)
    assert [(e.kind, e.step) for e in run.events] == [("oom", 5)]
    assert run.facts["max_steps"] == 10
    assert run.facts["steps_per_epoch"] == 5


def test_an_early_resume_is_one_run_not_two(tmp_path: Path) -> None:
    write(tmp_path / "training.jsonl", points([0, 1, 2, 3, 2, 3, 4]))
    resumed = event("resume", "resumed from epoch_0_step_1 at step 2", 2)
    write(tmp_path / "events.jsonl", [START, resumed, START])
    (run,) = read_runs(tmp_path)
    assert run.series["train/loss"].steps.tolist() == [0, 1, 2, 3, 4]
    assert [(e.kind, e.step) for e in run.events] == [("resume", 2)]


def test_a_run_without_a_step_is_read_from_its_events(tmp_path: Path) -> None:
    (tmp_path / "training.jsonl").touch()
    write(tmp_path / "events.jsonl", [START, event("oom", "step 0: out of memory", 0)])
    (run,) = read_runs(tmp_path)
    assert [e.kind for e in run.events] == ["oom"]
    assert not run.series


def test_a_line_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "training.jsonl", points([0, 1, 2]))
    write(tmp_path / "events.jsonl", [START], tail='{"kind": "oom", "text": "st')
    (run,) = read_runs(tmp_path)
    assert run.events == ()


def test_a_strangers_file_of_that_name_is_a_log_like_any(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", points(list(range(6))))
    (run,) = read_runs(tmp_path)
    assert len(run.series["train/loss"]) == 6


def test_the_events_alone_point_to_the_log_beside_them(tmp_path: Path) -> None:
    write(tmp_path / "training.jsonl", points([0, 1, 2]))
    write(tmp_path / "events.jsonl", [START])
    with pytest.raises(ReadError, match=r"training\.jsonl beside it"):
        read_file(tmp_path / "events.jsonl")


def acted(folder: Path, rows: list[dict[str, object]]) -> list[str]:
    """The findings of a constant rate that is cut to a hundredth at step 40 of 100."""
    folder.mkdir()
    rates = [1e-4 if step < 40 else 1e-6 for step in range(100)]
    logged = [
        {**row, "timestamp": 1e9 + 1 + i, "loss": 2 - 0.01 * i, "lr": rate}
        for i, (row, rate) in enumerate(zip(points(list(range(100))), rates, strict=True))
    ]
    write(folder / "training.jsonl", logged)
    write(folder / "events.jsonl", [START, *rows])
    (run,) = read_runs(folder)
    assert run.series["train/lr"].values[-1] == 1e-6  # what was logged stays what it is
    return [finding.code for finding in diagnose(run, load_rules()).findings]


def test_a_rate_that_the_advisor_cut_is_no_schedule_that_ended(tmp_path: Path) -> None:
    back = event("rollback", "back to step 40", 40, to_step=40, lr_factor=0.01)
    assert "SC001" in acted(tmp_path / "untouched", [])
    assert not [code for code in acted(tmp_path / "acted", [back]) if code.startswith("SC")]
