"""Finding runs below a directory: what belongs together, and hostile directories."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from advisor.config.attach import attach_config
from advisor.errors import ReadError
from advisor.readers.discover import read_all, read_runs
from advisor.readers.folders import walk


def _rows(count: int, first: float = 3.0, every: int = 1) -> list[dict[str, float]]:
    return [{"step": every * i, "loss": first - i / 100} for i in range(1, count + 1)]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _jsonl(path: Path, rows: list[dict[str, float]]) -> Path:
    return _write(path, "".join(json.dumps(row) + "\n" for row in rows))


def _state(path: Path, count: int) -> Path:
    step = count * 10
    return _write(path, json.dumps({"global_step": step, "log_history": _rows(count, every=10)}))


def test_checkpoints_of_one_run_are_one_run_and_the_newest_state_wins(tmp_path: Path) -> None:
    for count in (9, 10, 30):
        _state(tmp_path / f"checkpoint-{count * 10}" / "trainer_state.json", count)
    (run,) = read_runs(tmp_path)
    assert len(run.series["train/loss"]) == 30
    assert list(run.facts["checkpoints"]) == [90, 100, 300]  # type: ignore[call-overload]


def test_a_state_beside_its_checkpoints_is_the_same_run(tmp_path: Path) -> None:
    _state(tmp_path / "trainer_state.json", 30)
    _state(tmp_path / "checkpoint-300" / "trainer_state.json", 30)
    assert len(read_runs(tmp_path)) == 1


def test_siblings_are_the_config_of_the_run(tmp_path: Path) -> None:
    log = _jsonl(tmp_path / "training.jsonl", _rows(30))
    _write(tmp_path / "config.yaml", "optimizer:\n  lr: 1.0e-5\nstep_scheduler:\n  max_steps: 30\n"
           "model:\n  pretrained_model_name_or_path: x\n")  # fmt: skip
    (run,) = read_runs(tmp_path)
    assert attach_config(run, Path(run.path)).config.values["optimizer.lr"] == 1e-5
    assert Path(run.path) == log


def test_training_and_validation_logs_are_one_run(tmp_path: Path) -> None:
    _jsonl(tmp_path / "training.jsonl", _rows(30))
    held = [{"step": 9.0, "val_loss": 2.0}, {"step": 19.0, "val_loss": 1.0}]
    _jsonl(tmp_path / "validation.jsonl", held)
    (run,) = read_runs(tmp_path)
    assert run.series["eval/loss"].steps.tolist() == [9, 19]


def test_a_plain_loss_in_a_validation_table_is_the_evaluation_loss(tmp_path: Path) -> None:
    rows = "".join(f"{i},{3 - i / 9}\n" for i in range(9))
    _write(tmp_path / "train_log.csv", f"step,loss\n{rows}")
    _write(tmp_path / "val_log.csv", "step,loss\n4,2.5\n8,2.25\n")
    (run,) = read_runs(tmp_path)
    assert run.series["eval/loss"].values.tolist() == [2.5, 2.25]
    assert len(run.series["train/loss"]) == 9


def test_a_console_beside_the_state_adds_its_failure(tmp_path: Path) -> None:
    _state(tmp_path / "trainer_state.json", 20)
    lines = "".join(f"{{'loss': {row['loss']}, 'epoch': 0.1}}\n" for row in _rows(20))
    _write(tmp_path / "train.log", lines + "torch.OutOfMemoryError: CUDA out of memory.\n")
    (run,) = read_runs(tmp_path)
    assert [(event.kind, event.step) for event in run.events] == [("oom", 200)]
    assert any("train.log" in note for note in run.notes)


def test_a_console_that_counts_its_rows_adds_its_evaluations_at_the_steps_of_the_run(
    tmp_path: Path,
) -> None:
    _jsonl(tmp_path / "log.jsonl", [{"step": 10 * i, "loss": 3 - i / 20} for i in range(1, 41)])
    lines = []
    for i in range(1, 41):
        lines.append(f"{{'loss': {3 - i / 20:.4f}, 'learning_rate': {1e-4 / i:.4g}}}")
        if i % 10 == 0:
            lines.append(f"{{'eval_loss': {3 - i / 30:.4f}}}")
    _write(tmp_path / "train.log", "\n".join(lines))
    (run,) = read_runs(tmp_path)
    assert run.series["eval/loss"].steps.tolist() == [100, 200, 300, 400]
    assert run.series["train/lr"].steps.tolist() == list(range(10, 401, 10))


def test_a_console_of_another_run_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    _state(tmp_path / "trainer_state.json", 20)
    _write(tmp_path / "old.log", "".join(f"step {i} loss {9 + i}\n" for i in range(20)))
    (run,) = read_runs(tmp_path)
    assert any("old.log" in note and "left out" in note for note in run.notes)


def test_folders_of_versions_are_runs_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for version in (2, 10, 1):
        _jsonl(tmp_path / f"version_{version}" / "metrics.jsonl", _rows(9, version))
    names = [Path(run.path).parent.name for run in read_runs(tmp_path)]
    assert names == ["version_1", "version_2", "version_10"]


def test_what_cannot_be_read_beside_a_run_is_an_error_of_its_own(tmp_path: Path) -> None:
    _jsonl(tmp_path / "good" / "log.jsonl", _rows(9))
    _write(tmp_path / "bad" / "trainer_state.json", '{"log_history": [')
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert len(found.errors) == 1
    assert "bad" in str(found.errors[0])
    assert any("not read" in note for note in read_runs(tmp_path)[0].notes)


def test_data_sets_and_notes_beside_a_run_are_passed_over(tmp_path: Path) -> None:
    _jsonl(tmp_path / "log.jsonl", _rows(9))
    _write(tmp_path / "train.jsonl", '{"prompt": "a", "completion": "b"}\n')
    _write(tmp_path / "data.csv", "text,label\nhello,1\n")
    _write(tmp_path / "notes.txt", "remember the milk\n")
    found = read_all(tmp_path)
    assert (len(found.runs), found.errors) == (1, [])


@pytest.mark.parametrize(
    ("name", "said"),
    [("run-abc.wandb", "W&B"), ("mlruns/0/meta.yaml", "MLflow"), ("mlflow.db", "MLflow")],
)
def test_a_store_that_cannot_be_read_is_named(tmp_path: Path, name: str, said: str) -> None:
    _write(tmp_path / name, "x")
    with pytest.raises(ReadError, match=said):
        read_runs(tmp_path)


def test_a_tracker_folder_is_looked_into_only_where_nothing_else_is(tmp_path: Path) -> None:
    output = "".join(f"step {i} loss {3 - i / 9}\n" for i in range(9))
    _write(tmp_path / "wandb" / "run-1" / "files" / "output.log", output)
    assert len(read_runs(tmp_path)) == 1
    _jsonl(tmp_path / "log.jsonl", _rows(9))
    (run,) = read_runs(tmp_path)
    assert run.format == "jsonl"


def test_an_empty_directory_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"trainer_state\.json"):
        read_runs(tmp_path)


def test_pipes_devices_and_links_that_loop_are_passed_by(tmp_path: Path) -> None:
    _jsonl(tmp_path / "log.jsonl", _rows(9))
    (tmp_path / "loop").symlink_to(tmp_path)
    for name in ("train.log", "metrics.jsonl", "trainer_state.json", "config.yaml"):
        os.mkfifo(tmp_path / name)
    (run,) = read_runs(tmp_path)
    attach_config(run, Path(run.path))
    assert len(run.series["train/loss"]) == 9


@pytest.mark.parametrize("name", ["pipe", "missing", "nul\0", "a" * 5000, "/dev/zero"])
def test_a_named_path_that_is_no_file_is_one_clear_line(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ReadError) as error:
        read_runs(tmp_path / name)
    assert "\n" not in str(error.value)


def test_control_characters_in_a_name_do_not_reach_the_message(tmp_path: Path) -> None:
    path = _write(tmp_path / "a\n\x1b[31mb.jsonl", "")
    with pytest.raises(ReadError) as error:
        read_runs(path)
    assert str(error.value).isprintable()


def test_a_huge_directory_is_cut_and_that_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.readers.folders.MAX_FILES", 50)
    for number in range(60):
        _write(tmp_path / f"{number:03}" / "x.dat", "")
    _jsonl(tmp_path / "000" / "log.jsonl", _rows(9))
    found = read_all(tmp_path)
    assert len(found.runs) == 1
    assert "first 51 files" in str(found.errors[0])


def test_a_deep_tree_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 30)
    _jsonl(deep / "log.jsonl", _rows(9))
    assert walk(tmp_path).folders == []


def test_a_file_that_grows_while_it_is_read_is_read_to_where_it_ended(tmp_path: Path) -> None:
    from advisor.readers.files import chunks_of_lines

    path = _jsonl(tmp_path / "log.jsonl", _rows(5000))
    size = path.stat().st_size
    seen = 0
    for chunk in chunks_of_lines(path):
        seen += len(chunk)
        with path.open("a") as file:
            file.write('{"step": 1, "loss": 1}\n' * 1000)
    assert seen == size
