"""Records as lines, and where they go."""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import pytest

from train.metrics.files import JsonLines
from train.metrics.records import (
    EventRecord,
    Record,
    StepRecord,
    ValidationRecord,
    as_line,
    as_scalars,
    console_line,
)
from train.metrics.sinks import Console, Guarded

STEP = StepRecord(
    step=20, epoch=0, timestamp=1.75e9, loss=1.23456, grad_norm=2.5, lr=9.87e-6, mem=11.66,
    tps=6924.5, tps_per_gpu=6924.5, mfu=None, num_tokens_per_step=5000, num_label_tokens=4707,
    clipped=True, skipped=False, rows=8, samples=9, time_step=0.72, time_data=0.01,
    time_forward=0.2, time_backward=0.4, time_optimizer=0.1,
)  # fmt: skip
VALIDATION = ValidationRecord(
    step=19, epoch=0, timestamp=1.75e9, val_loss=0.24691, lr=9.87e-6, num_label_tokens=5120, mem=1.0
)


def test_console_line_of_a_step_is_automodels() -> None:
    assert console_line(STEP) == (
        "step 20 | epoch 0 | loss 1.2346 | grad_norm 2.5000 | lr 9.87e-06 | mem 11.66 GiB | "
        "tps 6924.50(6924.50/gpu) | num_label_tokens 4707"
    )


def test_console_line_of_an_evaluation_is_automodels() -> None:
    assert console_line(VALIDATION) == (
        '[val] name "default" | step 19 | epoch 0 | loss 0.2469 | lr 9.87e-06 | '
        "num_label_tokens 5120"
    )


def test_nan_is_written_bare() -> None:
    line = as_line(replace(STEP, loss=math.nan))
    assert '"loss": NaN' in line
    assert math.isnan(json.loads(line)["loss"])


def test_an_unknown_share_of_the_peak_is_left_out_of_scalars() -> None:
    assert "train/mfu" not in as_scalars(STEP)
    assert as_scalars(replace(STEP, mfu=0.4))["train/mfu"] == 0.4


def test_each_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    sink = JsonLines(tmp_path)
    sink.write(STEP)
    assert json.loads((tmp_path / "training.jsonl").read_text())["step"] == 20
    sink.write(VALIDATION)
    assert json.loads((tmp_path / "validation.jsonl").read_text())["val_loss"] == 0.24691
    sink.close("finished")


def test_a_line_that_a_kill_cut_short_is_taken_off(tmp_path: Path) -> None:
    (tmp_path / "training.jsonl").write_text('{"step": 1}\n{"step": 2, "lo')
    sink = JsonLines(tmp_path)
    sink.write(STEP)
    sink.close("finished")
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 20]


def test_lines_that_cannot_be_written_are_kept_told_once_and_written_later(tmp_path: Path) -> None:
    told = io.StringIO()
    sink = JsonLines(tmp_path, told)
    (tmp_path / "training.jsonl").mkdir()  # stands for a disk that takes nothing
    for step in range(3):
        sink.write(replace(STEP, step=step))
    assert told.getvalue().count("cannot be written") == 1
    (tmp_path / "training.jsonl").rmdir()
    sink.write(replace(STEP, step=3))
    sink.close("finished")
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert "lost" not in told.getvalue()


def test_lines_that_were_never_written_are_counted_at_the_end(tmp_path: Path) -> None:
    told = io.StringIO()
    sink = JsonLines(tmp_path, told)
    (tmp_path / "training.jsonl").mkdir()
    sink.write(STEP)
    sink.write(STEP)
    sink.close("failed")
    assert "its last 2 lines are lost" in told.getvalue()


def test_the_console_names_the_kind_of_what_happened() -> None:
    out = io.StringIO()
    Console(out).write(EventRecord(kind="oom", text="step 3: out of memory", timestamp=0.0))
    assert out.getvalue() == "[oom] step 3: out of memory\n"


class Failing:
    """A tracker whose server is gone."""

    def write(self, record: Record) -> None:
        raise ConnectionError("no route to host")

    def close(self, status: str) -> None:
        raise ConnectionError("no route to host")


def test_a_tracker_that_fails_is_switched_off_with_one_notice() -> None:
    said = io.StringIO()
    guarded = Guarded("wandb", Failing(), said)
    guarded.write(STEP)
    guarded.write(STEP)
    guarded.close("finished")
    assert said.getvalue().count("no route to host") == 1


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_names_the_extra(name: str, tmp_path: Path) -> None:
    import importlib.util

    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    from train.config.types import TrackingConfig
    from train.errors import MissingExtra
    from train.metrics.trackers import About, open_trackers

    with pytest.raises(MissingExtra, match=r"finetune-advisor\[track\]"):
        open_trackers(TrackingConfig(**{name: {}}), About(tmp_path, {}))


def test_tensorboard_files_hold_the_loss_at_its_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from advisor.readers import read_file
    from train.config.types import TrackingConfig
    from train.metrics.trackers import About, open_trackers

    (sink,) = open_trackers(TrackingConfig(tensorboard={}), About(tmp_path, {}))
    for step in range(5):
        sink.write(replace(STEP, step=step, loss=float(step)))
    sink.close("finished")
    (path,) = (tmp_path / "tensorboard").glob("events*")
    (run,) = read_file(path)
    assert run.series["train/loss"].values.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.integration
def test_wandb_writes_an_offline_run_with_its_group(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    from train.config.types import TrackingConfig
    from train.metrics.trackers import About, open_trackers

    options = {"mode": "offline", "project": "p", "group": "sweep-1", "save_dir": str(tmp_path)}
    (sink,) = open_trackers(TrackingConfig(wandb=options), About(tmp_path / "run", {}))
    sink.write(STEP)
    sink.close("finished")
    (found,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(100):  # a process of its own writes the file
        if b"train/loss" in found.read_bytes():
            break
        time.sleep(0.1)
    assert found.read_bytes()[:4] == b":W&B"
    assert b"sweep-1" in found.read_bytes()
    assert b"train/loss" in found.read_bytes()


@pytest.mark.integration
def test_mlflow_stores_the_loss_at_its_step_and_no_secret(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    from train.config.types import TrackingConfig
    from train.metrics.trackers import About, open_trackers

    options = {"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db", "experiment_name": "e"}
    about = About(tmp_path / "run", {"hub": {"api_key": "s3cret"}, "seed": 7})
    (sink,) = open_trackers(TrackingConfig(mlflow=options), about)
    sink.write(STEP)
    sink.close("finished")
    (found,) = mlflow.search_runs(experiment_names=["e"], output_format="list")
    assert found.info.status == "FINISHED"
    assert found.data.metrics["train/loss"] == pytest.approx(1.23456)
    assert found.data.params == {"hub.api_key": "<redacted>", "seed": "7"}
