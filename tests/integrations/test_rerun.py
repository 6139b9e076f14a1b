"""Fix, rerun, check, compare, as who trains with transformers' Trainer walks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")  # Trainer asks for it

from transformers import Trainer, TrainingArguments

from tests.cli.program import advise
from tests.integrations.tiny import Counting, model

pytestmark = pytest.mark.slow


def train(place: Path, **changed: Any) -> None:
    """Train the tiny model on few samples that are half noise: many epochs learn them by heart."""
    given = {
        "output_dir": str(place), "num_train_epochs": 12, "per_device_train_batch_size": 8,
        "learning_rate": 2e-2, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 8,
        "save_steps": 16, "report_to": [], "use_cpu": True, "disable_tqdm": True, "seed": 1,
        "warmup_steps": 4,
    }  # fmt: skip
    trainer = Trainer(
        model=model(), args=TrainingArguments(**{**given, **changed}),
        train_dataset=Counting(128, noise=0.4), eval_dataset=Counting(64, noise=0.4, seed=9),
    )  # fmt: skip
    trainer.train()
    trainer.save_state()


def asked(place: Path) -> tuple[int, list[dict[str, Any]]]:
    done = advise("check", place, "--format", "json")
    return done.returncode, json.loads(done.stdout)["runs"]


def test_a_run_that_overfits_is_fixed_run_again_and_the_change_confirmed(tmp_path: Path) -> None:
    place = tmp_path / "out"
    train(place)
    status, (first,) = asked(place)
    assert status == 1 and "overfit" in {f["symptom"] for f in first["findings"]}
    fixed = advise("fix", place)
    assert "num_train_epochs=" in fixed.stdout and "folder of its own" in fixed.stderr
    epochs = int(fixed.stdout.split("num_train_epochs=")[1].split(",")[0])
    train(place, num_train_epochs=epochs)  # into the same folder, all the same

    status, runs = asked(place)
    assert [run["id"] for run in runs] == ["", "earlier"]
    now, earlier = runs
    assert now["points"]["train/loss"] == epochs * 16 // 2
    assert earlier["best"]["value"] == first["best"]["value"]
    assert now["followup"]["verdict"] == "helped", now["followup"]
    assert status == 0, now["findings"]

    compared = json.loads(advise("compare", place, "--format", "json").stdout)
    chosen = compared["pick"]
    assert chosen["id"] == "" and "by the lowest that each reached" in chosen["why"]
