"""The advisor within real trainings: silent where all is well, and useful where it is not."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.runs.launch import (  # noqa: E402
    advise,
    curve,
    environment,
    events,
    rows,
    run,
)
from tests.train.runs.poison import poisoned  # noqa: E402
from tests.train.runs.tiny import LORA, config_text  # noqa: E402
from train.errors import StepError  # noqa: E402
from train.launch import main  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
STEPS = {"global_batch_size": 4, "local_batch_size": 4, "num_epochs": 2, "val_every_steps": 5,
         "ckpt_every_steps": 10}  # fmt: skip


def config(world: Path, place: Path, **sections: Any) -> Path:
    """A LoRA of 80 steps, in a folder of its own."""
    place.mkdir(exist_ok=True)
    path = place / "config.yaml"
    sections = {"peft": LORA, "step_scheduler": STEPS} | sections
    tree = json.loads(config_text(world, **sections))
    tree["checkpoint"]["checkpoint_dir"] = str(place)
    path.write_text(json.dumps(tree))
    return path


def base_words(base: Path, *words: str) -> list[str]:
    rows_of = ROOT / "presets"
    return [
        "--model.pretrained_model_name_or_path", str(base),
        "--dataset.path_or_dataset_id", str(rows_of / "instructions.jsonl"),
        "--validation_dataset.path_or_dataset_id", str(rows_of / "instructions.val.jsonl"), *words,
    ]  # fmt: skip


def base_run(base: Path, place: Path, *words: str) -> Any:
    """Fine-tune the bundled base model."""
    from train.config.load import load_config
    from train.sft import run as fine_tune

    loaded = load_config(base / "demo.yaml", base_words(base, *words), {})
    place.mkdir(exist_ok=True)
    (place / "config.yaml").write_text(loaded.text)
    return fine_tune(loaded, place)


def told(run_dir: Path, *severities: str) -> list[str]:
    found = [row["details"] for row in events(run_dir, "finding")]
    return [f["code"] for f in found if f["change"] == "raised" and f["severity"] in severities]


def judged(run_dir: Path) -> list[tuple[Any, ...]]:
    (found,) = advise(run_dir)["runs"]
    return [(f["code"], f["message"], f["first_step"], f["last_step"]) for f in found["findings"]]


def test_advice_changes_neither_a_run_nor_what_is_said_of_it_later(
    world: Path, tmp_path: Path
) -> None:
    sections = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 3.0}}
    path = config(world, tmp_path / "advised", **sections)
    run(path, tmp_path / "advised")
    other = config(world, tmp_path / "alone", **sections)
    run(other, tmp_path / "alone", "--advisor", "off")
    assert curve(tmp_path / "advised") == curve(tmp_path / "alone")
    assert events(tmp_path / "advised", "finding")
    assert not events(tmp_path / "alone", "finding")
    assert judged(tmp_path / "advised") == judged(tmp_path / "alone")


def test_a_console_log_reads_the_same_with_advice_in_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from advisor.readers.discover import read_runs

    sections = {"optimizer": {"_target_": "torch.optim.AdamW", "lr": 3.0}}
    run(config(world, tmp_path / "run", **sections), tmp_path / "run")
    lines = capsys.readouterr().out.splitlines(keepends=True)
    assert any(line.startswith("[finding]") for line in lines)
    found = []
    for name, kept in (("with", lines), ("without", [x for x in lines if "[finding]" not in x])):
        log = tmp_path / f"{name}.log"
        log.write_text("".join(kept))
        (one,) = read_runs(log)
        happened = [(event.kind, event.text) for event in one.events]
        found.append((happened, {k: s.values.tolist() for k, s in one.series.items()}))
    assert repr(found[0]) == repr(found[1])


def test_rules_that_cannot_be_read_switch_the_advisor_off_and_nothing_else(
    world: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "XX001-broken.yaml"
    broken.write_text("code: XX001\nwhen: [loss.end >]\n")
    path = config(world, tmp_path / "run")
    outcome = run(path, tmp_path / "run", "--advisor.rules", f"[{broken}]")
    assert outcome.status == "finished"
    notices = [row["text"] for row in events(tmp_path / "run", "notice")]
    assert sum("advisor is off" in text and "XX001" in text for text in notices) == 1


def test_a_command_gets_each_finding_as_json(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "keep.sh"
    # one write a line: commands may run side by side
    script.write_text(
        f'#!/bin/sh\nline=$(cat)\nprintf "%s\\n" "$line" >> "{tmp_path}/heard.jsonl"\n'
    )
    script.chmod(0o755)
    poisoned(monkeypatch, 33)
    path = config(world, tmp_path / "run")
    with pytest.raises(StepError, match="no finite loss"):
        run(path, tmp_path / "run", "--advisor.on_finding", str(script))
    lines = (tmp_path / "heard.jsonl").read_text().splitlines()
    on_changes = [json.loads(line) for line in lines if line]
    assert len(on_changes) == len(events(tmp_path / "run", "finding")) > 0
    assert {"code", "message", "severity", "change", "step"} <= set(on_changes[0])


def test_a_run_that_is_stopped_ends_with_a_status_of_its_own(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path, advisor={"policy": "stop", "stop_on": ["CFG036"]},
                  optimizer={"_target_": "torch.optim.AdamW", "lr": 30.0})  # fmt: skip
    assert main([str(path), "--run-dir", str(tmp_path / "run")], os.environ) == 3
    assert (tmp_path / "run" / "LATEST").exists()
    (said,) = events(tmp_path / "run", "stop")
    assert "CFG036" in said["text"]


def test_weights_that_became_nan_are_taken_from_a_good_state(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned(monkeypatch, 33)
    outcome = run(config(world, tmp_path / "run"), tmp_path / "run", "--advisor.policy", "act")
    (back,) = events(tmp_path / "run", "rollback")
    assert 20 <= back["details"]["to_step"] <= 33
    assert outcome.status == "finished" and outcome.steps == 80
    assert all(math.isfinite(row["loss"]) for row in rows(tmp_path / "run").values())


def test_a_single_batch_of_nan_is_skipped_and_no_rollback_taken(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {}

    def poison(stepper: Any) -> None:
        real["sum"] = stepper.loss_sum
        stepper.loss_sum = lambda model, batch: _nan_once(stepper, real["sum"], model, batch)

    poisoned(monkeypatch, 33, poison)
    outcome = run(config(world, tmp_path / "run"), tmp_path / "run", "--advisor.policy", "act")
    assert outcome.skipped == 1 and outcome.actions == 0


def _nan_once(stepper: Any, real: Any, model: Any, batch: Any) -> Any:
    stepper.loss_sum = real
    total, count = real(model, batch)
    return total * math.nan, count


def test_an_acted_run_is_read_as_what_it_became(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from advisor.readers.discover import read_runs

    poisoned(monkeypatch, 33)
    run(config(world, tmp_path / "run"), tmp_path / "run", "--advisor.policy", "act")
    (found,) = read_runs(tmp_path / "run")
    loss = found.series["train/loss"]
    assert loss.steps.tolist() == list(range(80))
    assert all(map(math.isfinite, loss.values.tolist()))
    assert not [code for code, *_ in judged(tmp_path / "run") if code.startswith("NUM")]


def sick(path: Path, run_dir: Path, *words: str) -> subprocess.Popen[str]:
    """A run of its own whose weights become NaN before steps 33 and 60."""
    program = [sys.executable, "-P", "-m", "tests.train.runs.poison", "33,60", str(run_dir)]
    return subprocess.Popen(
        [*program, str(path), "--run-dir", str(run_dir), "--advisor.policy", "act", *words],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def acted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody kills: it goes back twice."""
    place = tmp_path_factory.mktemp("acted")
    process = sick(config(world, place), place / "run")
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert len(events(place / "run", "rollback")) == 2
    return place / "run"


def killed_after_a_rollback(process: subprocess.Popen[str], run_dir: Path, lines: int) -> None:
    """kill -9 once so many more steps are logged after the first rollback."""
    events_of, log = run_dir / "events.jsonl", run_dir / "training.jsonl"
    while not events_of.exists() or '"kind": "rollback"' not in events_of.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    wanted = log.read_bytes().count(b"\n") + lines
    while log.read_bytes().count(b"\n") < wanted:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 12])
def test_a_run_killed_after_a_rollback_keeps_its_factor_and_count(
    lines: int, world: Path, acted: Path, tmp_path: Path
) -> None:
    """What it resumes to is what it would have been."""
    killed, path = tmp_path / "run", config(world, tmp_path)
    killed_after_a_rollback(sick(path, killed), killed, lines)
    resumed = sick(path, killed, "--resume")
    out, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, out
    assert max(rows(killed)) == max(rows(acted)) == 79
    rates = [[row["lr"] for row in rows(place).values()] for place in (killed, acted)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-6)


@pytest.mark.slow
def test_the_base_model_at_a_fair_rate_is_left_alone(base: Path, tmp_path: Path) -> None:
    words = ["--advisor.policy", "act", "--optimizer.lr", "2e-3"]
    outcome = base_run(base, tmp_path / "run", *words, "--step_scheduler.num_epochs", "5")
    assert outcome.status == "finished" and outcome.actions == 0
    assert told(tmp_path / "run", "error") == []


@pytest.mark.slow
def test_the_base_model_at_a_thousand_times_the_rate_is_stopped(base: Path, tmp_path: Path) -> None:
    words = ["--optimizer.lr", "4", "--step_scheduler.num_epochs", "5"]
    outcome = base_run(base, tmp_path / "run", "--advisor.policy", "stop", *words)
    assert outcome.advice is not None and outcome.advice.kind == "stop"
    assert outcome.steps <= 20 and (tmp_path / "run" / "LATEST").exists()


@pytest.mark.slow
def test_the_base_model_at_a_thousand_times_the_rate_is_brought_back(
    base: Path, tmp_path: Path
) -> None:
    words = ["--optimizer.lr", "4", "--step_scheduler.num_epochs", "5"]
    words += ["--validation_dataset.limit_dataset_samples", "24"]
    with pytest.raises(StepError, match="no finite loss"):
        base_run(base, tmp_path / "untouched", *words)
    outcome = base_run(base, tmp_path / "acted", "--advisor.policy", "act", *words)
    untouched = rows(tmp_path / "untouched")
    assert 1 <= outcome.actions <= 3
    # it takes all its steps, or ends at the best validation that it came to
    assert outcome.advice is None or outcome.advice.kind == "early_stop"
    assert outcome.train_loss is not None and math.isfinite(outcome.train_loss)
    assert outcome.lowest_val_loss is not None and outcome.baseline_loss is not None
    assert outcome.lowest_val_loss < outcome.baseline_loss
    assert outcome.train_loss < untouched[max(untouched)]["loss"]


@pytest.mark.slow
def test_the_base_model_that_learns_by_heart_is_stopped_at_its_best(
    base: Path, tmp_path: Path
) -> None:
    outcome = base_run(base, tmp_path / "run", "--advisor.policy", "act")
    assert outcome.advice is not None and outcome.advice.kind == "early_stop"
    losses = {s: r["val_loss"] for s, r in rows(tmp_path / "run", "validation").items() if s >= 0}
    best = min(losses, key=lambda step: losses[step])
    assert outcome.checkpoint is not None and outcome.checkpoint.endswith(f"_step_{best}")
    assert outcome.steps < 160
