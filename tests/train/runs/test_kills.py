"""Runs as a user starts them, ended from outside: SIGTERM, Ctrl-C, and kill -9 at any point."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.runs.launch import curve, events, rows, run, start  # noqa: E402
from tests.train.runs.tiny import LORA, config_text  # noqa: E402

pytestmark = pytest.mark.slow
STEPS = {"global_batch_size": 4, "local_batch_size": 2, "num_epochs": 2, "val_every_steps": 7,
         "ckpt_every_steps": 3}  # fmt: skip


def config(world: Path, place: Path, **sections: Any) -> Path:
    """40 steps of a LoRA with dropout, written below ``place``/run."""
    tree = json.loads(config_text(world, peft=LORA, step_scheduler=STEPS, **sections))
    tree["checkpoint"]["checkpoint_dir"] = str(place / "run")
    tree["dataset"]["limit_dataset_samples"] = 80
    path = place / "config.yaml"
    path.write_text(json.dumps(tree))
    return path


def wait_for_step(process: subprocess.Popen[str], run_dir: Path, step: int) -> bool:
    """Wait until a step is logged; False where the process ended before."""
    log = run_dir / "training.jsonl"
    while process.poll() is None:
        if log.exists() and f'"step": {step},' in log.read_text():
            return True
        time.sleep(0.005)
    return False


def finish(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=300)
    return out


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_again_and_again_has_the_losses_of_one_that_was_not(
    workers: int, world: Path, tmp_path: Path
) -> None:
    expected_in, killed_in = tmp_path / "expected", tmp_path / "killed"
    expected_in.mkdir(), killed_in.mkdir()
    loader = {"num_workers": workers}
    run(config(world, expected_in, dataloader=loader), expected_in / "run")
    path, run_dir = config(world, killed_in, dataloader=loader), killed_in / "run"
    chance = random.Random(workers)
    process = start(path)
    kills = 0
    for step in (5, 12, 13, 22, 31):
        if wait_for_step(process, run_dir, step):
            time.sleep(chance.random() * 0.05)  # within a step, an evaluation or a checkpoint
            process.kill()
            kills += 1
        finish(process)
        process = start(path, "--resume")
    out = finish(process)
    assert process.returncode == 0, out
    assert kills >= 4
    assert curve(run_dir) == curve(expected_in / "run")
    losses, expected = rows(run_dir, "validation"), rows(expected_in / "run", "validation")
    assert {s: r["val_loss"] for s, r in losses.items()} == {
        s: r["val_loss"] for s, r in expected.items()
    }


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_its_status_and_the_run_goes_on_exactly(
    number: signal.Signals, workers: int, world: Path, tmp_path: Path
) -> None:
    """The signal goes to all processes, loader workers too, as a terminal or Slurm sends it."""
    expected_in, stopped_in = tmp_path / "expected", tmp_path / "stopped"
    expected_in.mkdir(), stopped_in.mkdir()
    loader = {"num_workers": workers}
    run(config(world, expected_in, dataloader=loader), expected_in / "run")
    path, run_dir = config(world, stopped_in, dataloader=loader), stopped_in / "run"
    process = start(path)
    assert wait_for_step(process, run_dir, 7)
    os.killpg(process.pid, number)
    out = finish(process)
    assert process.returncode == 128 + number, out
    (ended,) = events(run_dir, "end")
    assert number.name in ended["text"]
    last = max(rows(run_dir))
    assert (run_dir / "LATEST").resolve().name.endswith(f"_step_{last}")
    process = start(path, "--resume")
    assert process.wait(300) == 0, finish(process)
    assert curve(run_dir) == curve(expected_in / "run")


def test_a_resumed_run_is_one_run_for_the_advisor(world: Path, tmp_path: Path) -> None:
    from advisor.readers.discover import read_runs

    path, run_dir = config(world, tmp_path), tmp_path / "run"
    process = start(path)
    assert wait_for_step(process, run_dir, 4)
    process.kill()
    finish(process)
    process = start(path, "--resume")
    finish(process)
    (found,) = read_runs(run_dir)
    assert len(found.series["train/loss"]) == 40
    assert [e.kind for e in found.events if e.kind == "resume"] == ["resume"]
