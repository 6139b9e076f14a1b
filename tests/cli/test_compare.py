"""`advise compare` through the real command: table, statuses, JSON, what is refused."""

from __future__ import annotations

import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli import program

CONFIG = """\
step_scheduler:
  global_batch_size: 32
  max_steps: 200
optimizer:
  lr: {lr}
rng:
  seed: {seed}
validation_dataset:
  path_or_dataset_id: org/data
  split: {split}
wandb:
  api_key: s3cr3t-{lr}
"""


def advise(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return program.advise("compare", *words, cwd=cwd)


def asked(*words: str | Path) -> tuple[int, dict[str, Any]]:
    done = advise(*words, "--format", "json")
    return done.returncode, json.loads(done.stdout)


def make(
    place: Path, end: float, rise: float = 0.0, lr: str = "1.0e-5", seed: int = 42,
    split: str = "validation",
) -> Path:  # fmt: skip
    """Write a run whose validation loss falls to ``end`` and rises by ``rise`` from the middle."""
    place.mkdir(parents=True)
    noise = random.Random(place.name)
    with (
        (place / "training.jsonl").open("w") as train,
        (place / "validation.jsonl").open("w") as held,
    ):
        for i in range(200):
            loss = end + 2 * math.exp(-i / 30) + noise.gauss(0, 0.02)
            train.write(json.dumps({"step": i, "loss": loss, "lr": float(lr)}) + "\n")
            if i % 20 == 19:
                loss = end + 2 * math.exp(-i / 30) + rise * max(0, i - 100) / 100
                loss += noise.gauss(0, 0.002)
                held.write(json.dumps({"step": i, "val_loss": loss, "lr": float(lr)}) + "\n")
    (place / "config.yaml").write_text(CONFIG.format(lr=lr, seed=seed, split=split))
    return place


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three learning rates, as in the guide: too low, right, and one that overfits."""
    make(tmp_path / "lr-1e-6", 1.6, lr="1.0e-6")
    make(tmp_path / "lr-1e-5", 1.2)
    make(tmp_path / "lr-5e-5", 1.1, rise=0.9, lr="5.0e-5")
    return tmp_path


def test_a_sweep_ends_in_the_guides_table_and_a_pick(sweep: Path) -> None:
    done = advise(sweep)
    assert done.returncode == 0
    head = next(line for line in done.stdout.splitlines() if line.startswith("step"))
    assert head.split() == ["step", "lr-1e-5", "lr-1e-6", "lr-5e-5"]
    last = next(line for line in done.stdout.splitlines() if line.lstrip().startswith("199"))
    assert last.count("*") == 1 and last.count("↑") == 1
    assert "optimizer.lr" in done.stdout and "1e-06" in done.stdout
    assert "pick lr-1e-5" in done.stdout


def test_the_json_holds_runs_table_differences_and_pick(sweep: Path) -> None:
    status, whole = asked(sweep / "lr-1e-5", sweep / "lr-5e-5")
    assert status == 0 and whole["schema"] == 1 and whole["errors"] == []
    assert [r["label"] for r in whole["runs"]] == ["lr-1e-5", "lr-5e-5"]
    assert whole["runs"][0]["best"]["series"] == whole["series"] == "eval/loss"
    assert [row["step"] for row in whole["table"]] == list(range(19, 200, 20))
    assert [c["rising"] for c in whole["table"][-1]["cells"]] == [False, True]
    assert {d["key"]: d["values"] for d in whole["differs"]}["optimizer.lr"] == [1e-5, 5e-5]
    assert whole["pick"]["path"].endswith("lr-1e-5/training.jsonl") and whole["pick"]["clear"]


def test_secrets_of_the_configs_are_never_printed(sweep: Path) -> None:
    assert "s3cr3t" not in advise(sweep).stdout
    assert "s3cr3t" not in advise(sweep, "--format", "json").stdout


def test_seeds_that_differ_fail_the_comparison_unless_told_otherwise(tmp_path: Path) -> None:
    runs = make(tmp_path / "a", 1.2), make(tmp_path / "b", 1.4, seed=7)
    status, whole = asked(*runs)
    assert status == 1
    assert [(f["code"], f["severity"]) for f in whole["findings"]] == [("LT010", "warning")]
    assert advise(*runs, "--fail-on", "error").returncode == 0
    assert advise(*runs, "--exit-zero").returncode == 0
    assert "seeds differ: a 42, b 7" in advise(*runs).stdout


def test_other_validation_sets_void_the_comparison(tmp_path: Path) -> None:
    runs = make(tmp_path / "a", 1.2), make(tmp_path / "b", 1.4, split="test")
    done = advise(*runs)
    assert done.returncode == 1
    assert "void" in done.stdout and "the validation sets differ" in done.stdout
    assert asked(*runs)[1]["pick"]["index"] is None


def test_runs_within_the_noise_have_no_clear_winner(tmp_path: Path) -> None:
    done = advise(make(tmp_path / "a", 1.2), make(tmp_path / "b", 1.2005))
    assert done.returncode == 0 and "no clear winner: " in done.stdout


def test_what_cannot_be_read_is_said_beside_the_others(sweep: Path) -> None:
    status, whole = asked(sweep, sweep / "nothing")
    assert status == 2 and len(whole["runs"]) == 3
    assert "no such file" in whole["errors"][0]["message"]
    assert "not read" in advise(sweep, sweep / "nothing").stdout


def test_one_run_is_too_few_however_often_it_is_named(sweep: Path) -> None:
    one = sweep / "lr-1e-5"
    done = advise(one, one, one / "training.jsonl")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "one run found" in done.stderr
    status, whole = asked(one)
    assert status == 2 and whole["runs"] == [] and "one run" in whole["errors"][0]["message"]


def test_a_wrong_option_is_one_line(sweep: Path) -> None:
    for words in (("--format", "html"), ("--fail-on", "often"), ("--set", "x")):
        done = advise(sweep, *words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_control_characters_of_a_path_do_not_reach_the_terminal(tmp_path: Path) -> None:
    done = advise(make(tmp_path / "a\x1b[31m", 1.2), make(tmp_path / "b[bold]", 1.4))
    assert "\x1b" not in done.stdout and "b[bold]" in done.stdout
