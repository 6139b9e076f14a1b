"""Rows without steps, put where the config beside them says that they were logged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from advisor.pipeline import Request, load_runs
from advisor.run import Run
from advisor.signals import View
from advisor.signals.run_size import total_steps

ARGS = {"output_dir": "out", "learning_rate": 1e-5, "logging_steps": 25, "num_train_epochs": 2,
        "per_device_train_batch_size": 4}  # fmt: skip


def _log(folder: Path, more: str = "") -> None:
    rows = [{"loss": 3 / i, "learning_rate": 1e-5, "epoch": i / 20} for i in range(1, 41)]
    rows.insert(20, {"eval_loss": 1.5, "epoch": 1.0})
    (folder / "train.log").write_text(more + "\n".join(map(repr, rows)))


def _run(folder: Path, args: Mapping[str, object]) -> Run:
    (folder / "training_args.json").write_text(json.dumps(dict(args)))
    (run,) = load_runs(folder, Request())
    return run


def test_counted_rows_are_as_far_apart_as_the_config_beside_logs_them(tmp_path: Path) -> None:
    _log(tmp_path)
    run = _run(tmp_path, ARGS)
    assert run.series["train/loss"].steps.tolist() == list(range(25, 1025, 25))
    assert run.series["eval/loss"].steps.tolist() == [500]
    assert any("logs every 25 steps" in note for note in run.notes)


def test_jsonl_rows_without_steps_are_placed_alike(tmp_path: Path) -> None:
    rows = [json.dumps({"loss": 3 / i, "learning_rate": 1e-5}) for i in range(1, 41)]
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    assert _run(tmp_path, ARGS).series["train/loss"].steps[-1] == 1000


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Total optimization steps = 100\n", "the log states fewer steps: another run's config"),
        ("logging_steps=10\n", "the log states its own interval"),
    ],
)
def test_what_the_log_states_wins_over_the_config(tmp_path: Path, said: str, why: str) -> None:
    _log(tmp_path, said)
    assert _run(tmp_path, ARGS).series["train/loss"].steps[-1] in (40, 400), why


def test_steps_of_the_log_stay_whatever_the_config_logs(tmp_path: Path) -> None:
    rows = [json.dumps({"step": 7 * i, "loss": 3 / i}) for i in range(1, 41)]
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    assert _run(tmp_path, ARGS).series["train/loss"].steps[-1] == 280


@pytest.mark.parametrize(("interval", "length"), [(25, 1000.0), (0, None)])
def test_the_length_of_a_run_is_not_worked_out_from_rows_that_are_only_counted(
    tmp_path: Path, interval: int, length: float | None
) -> None:
    _log(tmp_path)
    args = {**ARGS, "logging_steps": interval} if interval else dict(ARGS)
    if not interval:
        del args["logging_steps"]
    assert total_steps(View(_run(tmp_path, args))).value == length
