"""JSON lines and other JSON: AutoModel, LLaMA-Factory, ms-swift, histories, damaged lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import ReadError
from advisor.readers import read_file
from advisor.readers.options import ReadOptions
from advisor.run import Run

Reads = Callable[..., list[Run]]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(rows: str | Sequence[object], name: str = "log.jsonl", **options: object) -> list[Run]:
        path = tmp_path / name
        text = rows if isinstance(rows, str) else "".join(json.dumps(r) + "\n" for r in rows)
        path.write_text(text)
        return read_file(path, ReadOptions(**options))  # type: ignore[arg-type]

    return read


def _rows(count: int = 10, first: int = 0) -> list[dict[str, object]]:
    return [{"step": first + i, "loss": 3 - i / 10} for i in range(count)]


def test_automodel_is_known_by_its_keys(reads: Reads) -> None:
    rows = [{**row, "grad_norm": 1.0, "lr": 1e-5, "tps": 100.0, "mem": 11.5} for row in _rows()]
    (run,) = reads([{**row, "num_label_tokens": 900} for row in rows])
    assert run.format == "automodel"
    (run,) = reads(rows)
    assert run.format == "jsonl"  # anybody logs his tokens per second
    wanted = {"train/loss", "train/grad_norm", "train/lr", "train/tokens_per_second"}
    assert wanted <= set(run.series)


def test_both_schemas_of_llamafactory_are_read(reads: Reads) -> None:
    old = [
        {"current_steps": 10 * i, "total_steps": 100, "loss": 3.0 - i, "eval_loss": None,
         "predict_loss": None, "reward": None, "learning_rate": 1e-4, "epoch": i / 10,
         "percentage": 10.0 * i, "elapsed_time": "0:00:10", "remaining_time": "0:01:00"}
        for i in range(1, 4)
    ]  # fmt: skip
    new = [
        {"current_steps": 10 * i, "total_steps": 100, "loss": 3.0 - i, "lr": 1e-4,
         "epoch": i / 10, "percentage": 10.0 * i, "elapsed_time": "0:00:10"}
        for i in range(1, 4)
    ]  # fmt: skip
    for rows in (old, new):
        (run,) = reads([*rows, {"current_steps": 30, "total_steps": 100, "eval_loss": 1.5}])
        assert run.format == "llamafactory"
        assert run.series["train/loss"].steps.tolist() == [10, 20, 30]
        assert run.series["train/lr"].values.tolist() == [1e-4] * 3
        assert run.series["eval/loss"].values.tolist() == [1.5]
        assert run.facts["max_steps"] == 100
        assert "train/reward" not in run.series


def test_bare_nan_and_infinity_are_values_and_null_is_missing(reads: Reads) -> None:
    text = '{"step": 1, "loss": NaN}\n{"step": 2, "loss": -Infinity}\n{"step": 3, "loss": null}\n'
    (run,) = reads(text + '{"step": 4, "loss": 2.0}\n')
    loss = run.series["train/loss"]
    assert loss.steps.tolist() == [1, 2, 4]
    assert np.isnan(loss.values[0])
    assert loss.values[1] == -np.inf


def test_damaged_lines_are_left_out_and_counted(reads: Reads) -> None:
    lines = [json.dumps(row) for row in _rows()]
    lines[4] = lines[4][:-3]
    (run,) = reads("\n".join(lines))
    assert 4 not in run.series["train/loss"].steps
    assert any("1 damaged line" in note for note in run.notes)


def test_steps_that_begin_again_are_another_run(reads: Reads) -> None:
    runs = reads([*_rows(10), *_rows(6)])
    assert [len(run.series["train/loss"]) for run in runs] == [10, 6]
    assert [run.id for run in runs] == ["1", "2"]
    assert any("2 runs" in note for note in runs[0].notes)


def test_a_step_back_into_the_run_is_a_resume_and_the_later_row_wins(reads: Reads) -> None:
    (run,) = reads([*_rows(10), *({"step": i, "loss": 9.0} for i in range(5, 12))])
    assert run.series["train/loss"].values[5:].tolist() == [9.0] * 7
    assert [event.kind for event in run.events] == ["resume"]
    assert any("resume" in note for note in run.notes)


def test_rows_of_two_ranks_are_one_run(reads: Reads) -> None:
    rows = [row for row in _rows(10) for _ in range(2)]
    (run,) = reads(rows)
    assert len(run.series["train/loss"]) == 10
    assert any("repeated" in note for note in run.notes)


def test_rows_out_of_order_are_sorted_and_that_is_said(reads: Reads) -> None:
    rows = _rows(10)
    rows[4], rows[5] = rows[5], rows[4]
    (run,) = reads(rows)
    assert run.series["train/loss"].steps.tolist() == list(range(10))
    assert any("sorted" in note for note in run.notes)


def test_without_a_step_rows_are_counted_and_that_is_said(reads: Reads) -> None:
    (run,) = reads([{"loss": 1.0 / i} for i in range(1, 9)])
    assert run.series["train/loss"].steps.tolist() == list(range(1, 9))
    assert any("rows are counted" in note for note in run.notes)


def test_steps_within_each_epoch_go_on(reads: Reads) -> None:
    rows = [{"epoch": e, "step": s, "loss": 1.0} for e in range(3) for s in range(0, 40, 10)]
    (run,) = reads(rows)
    assert run.series["train/loss"].steps.tolist() == list(range(0, 120, 10))


def test_a_new_key_late_in_the_log_is_not_lost(reads: Reads) -> None:
    rows = _rows(3000)
    rows.insert(2500, {"step": 2500, "eval_loss": 1.25})
    (run,) = reads(rows)
    assert run.series["eval/loss"].values.tolist() == [1.25]


@pytest.mark.parametrize("value", ["1" * 400, "1e400", "-1e400"])
def test_huge_numbers_are_infinite_and_not_a_crash(reads: Reads, value: str) -> None:
    (run,) = reads(f'{{"step": 1, "loss": 2.0}}\n{{"step": 2, "loss": {value}}}\n')
    assert np.isinf(run.series["train/loss"].values[1])


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"loss": 1', "[1, 2, 3]", '{"loss": "x"}\n']
)
def test_what_is_no_log_is_one_clear_error(reads: Reads, text: str) -> None:
    with pytest.raises(ReadError) as error:
        reads(text)
    assert "\n" not in str(error.value)


def test_a_data_set_is_no_log(reads: Reads) -> None:
    rows = [{"prompt": f"What is {i}?", "completion": "A number."} for i in range(20)]
    with pytest.raises(ReadError):
        reads(rows)


def test_a_column_can_be_named_and_the_step_too(reads: Reads) -> None:
    rows = [{"n": 10 * i, "objective": 2.0, "loss": 1.0} for i in range(5)]
    (run,) = reads(rows, map={"train/loss": "objective", "step": "n"})
    assert run.series["train/loss"].values.tolist() == [2.0] * 5
    assert run.series["train/loss"].steps.tolist() == [0, 10, 20, 30, 40]
