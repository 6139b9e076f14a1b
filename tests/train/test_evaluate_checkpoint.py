"""`--evaluate CHECKPOINT`: each held-out sample's loss; together the trainer's own validation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuning.test_kills import ROOT, TINY

pytest.importorskip("torch")


def train(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "train", *words], cwd=place, env=env, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("evaluate")
    (place / "my.yaml").write_text(TINY)
    words = ("--step_scheduler.max_steps", "3", "--run-dir", "run", "--optimizer.lr", "4e-3")
    done = train(place, "my.yaml", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    return place


def test_the_samples_losses_give_the_validation_loss_that_the_run_logged(run: Path) -> None:
    done = train(run, "--evaluate", "run", "--output", "found.json")
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((run / "found.json").read_text())
    logged = json.loads((run / "run" / "validation.jsonl").read_text().splitlines()[-1])
    assert found["loss"] == pytest.approx(logged["val_loss"], rel=1e-5)
    assert found["tokens"] == logged["num_label_tokens"]
    assert len(found["losses"]) == found["samples"] == 40 and 0 < sum(found["test"]) < 40
    assert f"loss {found['loss']:.6f} of 40 samples" in done.stdout


def test_the_halves_of_the_rows_are_apart_and_whole_together(run: Path) -> None:
    counts = {}
    for part in ("selection", "test", "whole"):
        done = train(run, "--evaluate", "run", "--validation_part", part, "--output", "part.json")
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads((run / "part.json").read_text())
        counts[part] = found["samples"]
        assert part == "whole" or set(found["test"]) == {part == "test"}
    assert counts["selection"] + counts["test"] == counts["whole"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--evaluate", "nowhere"), "no checkpoint of ours there"),
        (("--evaluate", "run", "--validation_part", "other"), "expected whole, selection or test"),
        (("--evaluate",), "a checkpoint's folder must follow"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(run: Path, words: tuple[str, ...], said: str) -> None:
    done = train(run, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert said in done.stderr
