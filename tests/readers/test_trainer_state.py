"""trainer_state.json: whole, cut off, damaged, with all that Python's JSON lets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import ReadError
from advisor.readers import read_file
from advisor.readers.options import ReadOptions
from advisor.run import Run

Reads = Callable[..., Run]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(rows: object, rest: dict[str, object] | None = None, **options: object) -> Run:
        path = tmp_path / "trainer_state.json"
        state = {"global_step": 50, "log_history": rows, "max_steps": 50, **(rest or {})}
        path.write_text(rows if isinstance(rows, str) else json.dumps(state, indent=2))
        (run,) = read_file(path, ReadOptions(**options))  # type: ignore[arg-type]
        return run

    return read


def _rows(count: int = 10) -> list[dict[str, object]]:
    return [
        {"epoch": i / count, "grad_norm": 1.0 + i, "learning_rate": 1e-4, "loss": 3 - i / 10,
         "step": 5 * i + 5}
        for i in range(count)
    ]  # fmt: skip


def test_the_summary_row_is_a_fact_and_no_point(reads: Reads) -> None:
    closing = {"step": 50, "train_loss": 2.5, "train_runtime": 60.0, "total_flos": 1e15}
    run = reads([*_rows(), closing])
    assert len(run.series["train/loss"]) == 10
    assert run.facts["train_loss"] == 2.5


def test_planned_steps_and_the_best_checkpoint_are_facts(reads: Reads) -> None:
    run = reads(_rows(), {"best_model_checkpoint": "C:\\out\\checkpoint-25", "num_train_epochs": 1})
    assert run.facts["max_steps"] == 50
    assert run.facts["best_checkpoint"] == "checkpoint-25"


def test_a_row_with_a_missing_gradient_norm_keeps_its_loss(reads: Reads) -> None:
    rows = _rows()
    del rows[3]["grad_norm"]
    rows[4]["grad_norm"] = None
    run = reads(rows)
    assert len(run.series["train/loss"]) == 10
    assert run.series["train/grad_norm"].steps.tolist() == [5, 10, 15, 30, 35, 40, 45, 50]


def test_a_state_cut_off_at_any_byte_gives_its_first_rows_or_one_error(tmp_path: Path) -> None:
    whole = json.dumps({"global_step": 15, "log_history": _rows(3)}).encode()
    path = tmp_path / "trainer_state.json"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            (run,) = read_file(path)
        except ReadError as error:
            assert "\n" not in str(error)
            continue
        loss = run.series["train/loss"]
        assert loss.steps.tolist() == [5, 10, 15][: len(loss)]
        assert loss.values.tolist() == [3.0, 2.9, 2.8][: len(loss)]
        if end < len(whole) - 1:
            assert run.notes  # said, not only handled


def test_text_that_looks_like_a_border_does_not_cut_a_row(reads: Reads) -> None:
    rows = _rows()
    rows[2]["note"] = '}, {"step": 999, "loss": 99.0}, {'
    run = reads(rows)
    assert run.series["train/loss"].steps.tolist() == list(range(5, 55, 5))


def test_rows_after_the_history_do_not_become_points(reads: Reads) -> None:
    run = reads(_rows(), {"stateful_callbacks": {"log": [{"loss": 9.0, "step": 60}]}})
    assert run.series["train/loss"].steps[-1] == 50


def test_a_later_row_of_the_same_step_wins_and_that_is_said(reads: Reads) -> None:
    run = reads([*_rows(), {"loss": 0.5, "step": 50}])
    assert run.series["train/loss"].values[-1] == 0.5
    assert any("repeated" in note for note in run.notes)


def test_words_among_the_numbers_are_no_points(reads: Reads) -> None:
    rows = _rows()
    rows[1]["loss"] = "overflow"
    rows[2]["loss"] = "2.75"
    run = reads(rows)
    assert 10 not in run.series["train/loss"].steps
    assert run.series["train/loss"].values[1] == 2.75


def test_a_part_of_the_steps_can_be_asked_for(reads: Reads) -> None:
    assert reads(_rows(), steps=(20, 30)).series["train/loss"].steps.tolist() == [20, 25, 30]
    with pytest.raises(ReadError, match="--steps"):
        reads(_rows(), steps=(1000, None))


def test_a_column_can_be_named(reads: Reads) -> None:
    rows = [{"step": i, "objective": 3.0 - i / 10} for i in range(10)]
    assert reads(rows, map={"train/loss": "objective"}).series["train/loss"].native == "objective"
    with pytest.raises(ReadError, match=r"no column 'nope'.*objective"):
        reads(rows, map={"train/loss": "nope"})


def test_an_empty_history_is_one_clear_error(reads: Reads) -> None:
    with pytest.raises(ReadError, match="nothing was logged"):
        reads([])


def test_many_chunks_read_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advisor.readers import trainer_state

    path = tmp_path / "trainer_state.json"
    rows = [{"loss": 3.0 / i, "step": i} for i in range(1, 3000)]
    path.write_text(json.dumps({"log_history": rows}))
    whole = read_file(path)[0].series["train/loss"]
    monkeypatch.setattr(trainer_state, "CHUNK", 700)
    pieces = read_file(path)[0].series["train/loss"]
    assert np.array_equal(whole.values, pieces.values)
    assert np.array_equal(whole.steps, pieces.steps)
