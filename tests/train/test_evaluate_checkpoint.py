"""`--evaluate CHECKPOINT`: each held-out sample's loss; together the trainer's own validation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.precision import FLOAT32
from tests.train.runs import launch
from tests.tuning.tiny import config_text

pytest.importorskip("torch")

from train.launch import main


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three steps."""
    place = tmp_path_factory.mktemp("evaluate")
    config = place / "my.yaml"
    config.write_text(config_text(base))
    launch.run(config, place / "run", "--step_scheduler.max_steps", "3", "--optimizer.lr", "4e-3")
    return place / "run"


def evaluated(run: Path, output: Path, *words: str) -> dict[str, Any]:
    words = ("--evaluate", str(run), "--output", str(output), *words)
    assert main(words, os.environ) == 0
    found: dict[str, Any] = json.loads(output.read_text())
    return found


def test_the_samples_losses_give_the_validation_loss_that_the_run_logged(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluated(run, tmp_path / "found.json")
    logged = json.loads((run / "validation.jsonl").read_text().splitlines()[-1])
    # samples one by one against batches of sixteen: products of other shapes
    assert found["loss"] == pytest.approx(logged["val_loss"], rel=FLOAT32)
    assert found["tokens"] == logged["num_label_tokens"]
    assert len(found["losses"]) == found["samples"] == 40 and 0 < sum(found["test"]) < 40
    assert f"loss {found['loss']:.6f} of 40 samples" in capsys.readouterr().out


def test_the_halves_of_the_rows_are_apart_and_whole_together(run: Path, tmp_path: Path) -> None:
    counts = {}
    for part in ("selection", "test", "whole"):
        found = evaluated(run, tmp_path / "part.json", "--validation_part", part)
        counts[part] = found["samples"]
        assert part == "whole" or set(found["test"]) == {part == "test"}
    assert counts["selection"] + counts["test"] == counts["whole"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--evaluate", "nowhere"), "no checkpoint of ours there"),
        (("--evaluate", "RUN", "--validation_part", "other"), "expected whole, selection or test"),
        (("--evaluate",), "a checkpoint's folder must follow"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    run: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run) if word == "RUN" else word for word in words], os.environ) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
