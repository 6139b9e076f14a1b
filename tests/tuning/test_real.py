"""`advise tune` and `advise sweep` with real trainings of the bundled tiny model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuning.tiny import DATA, ROOT, config_text

pytest.importorskip("torch")
pytestmark = pytest.mark.slow


def advise(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "advisor", *words], cwd=place, env=env, capture_output=True,
        text=True, timeout=1200,
    )  # fmt: skip


@pytest.fixture
def tiny(base: Path, tmp_path: Path) -> str:
    """The config my.yaml of the test's folder."""
    text = config_text(base)
    (tmp_path / "my.yaml").write_text(text)
    return text


def test_a_rate_far_too_low_is_mended_and_proved_on_rows_that_no_decision_saw(
    tiny: str, tmp_path: Path
) -> None:
    done = advise(tmp_path, "tune", "my.yaml", "--runs", "3", "--keep", "best", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    outcome = said["outcome"]
    assert outcome["better"] and outcome["measured_on"] == "test" and outcome["samples"] >= 10
    assert outcome["gain"]["low"] > 0.2
    assert said["tokens"] > 0 and (tmp_path / "my.yaml").read_text() == tiny
    rows = json.loads((tmp_path / "tune-my/runs/001-start/held-out.json").read_text())
    assert rows["samples"] == 40 and sum(rows["test"]) == outcome["samples"]
    log = tmp_path / "tune-my/runs/001-start/run/validation.jsonl"
    seen = json.loads(log.read_text().splitlines()[-1])["num_label_tokens"]
    own = [n for n, test in zip(rows["tokens_of"], rows["test"], strict=True) if not test]
    assert seen == sum(own)  # what decisions saw is the other half, and only that
    kept = {path.parents[1].name for path in tmp_path.glob("tune-my/runs/*/run/epoch_*")}
    best = next(r["folder"] for r in said["runs"] if r["number"] == outcome["best"])
    assert kept == {"001-start", Path(best).name}
    plan = advise(tmp_path, "train", "tune-my/best.yaml", "--dry-run")
    assert plan.returncode == 0, plan.stderr


def test_a_config_that_our_trainer_refuses_is_its_one_line_and_status_2(
    tiny: str, tmp_path: Path
) -> None:
    (tmp_path / "my.yaml").write_text(tiny.replace("val_every_steps: 3", "val_every_steps: 0"))
    done = advise(tmp_path, "tune", "my.yaml")
    assert done.returncode == 2
    assert "step_scheduler.val_every_steps" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_under_torchrun_with_one_process(tiny: str, tmp_path: Path) -> None:
    words = ("tune", "my.yaml", "--runs", "1", "--json", "--launcher", "torchrun")
    done = advise(tmp_path, *words, "--", "--nproc-per-node", "1")
    assert done.returncode == 0, done.stderr[-2000:]
    job = json.loads((tmp_path / "tune-my/runs/001-start/job.json").read_text())
    assert any(word.endswith("elastic.py") for word in job["words"])
    assert json.loads(done.stdout)["runs"][0]["status"] == "finished"


HF_SCRIPT = f"""
import sys, json
from datasets import load_dataset
from transformers import (AutoModelForCausalLM, AutoTokenizer, DataCollatorForLanguageModeling,
                          HfArgumentParser, Trainer, TrainingArguments)
(args,) = HfArgumentParser(TrainingArguments).parse_json_file(sys.argv[1])
args.output_dir = sys.argv[2]
name = sys.argv[3]
tokenizer = AutoTokenizer.from_pretrained(name)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
def rows(path, count):
    data = load_dataset("json", data_files=path, split=f"train[:{{count}}]")
    return data.map(lambda r: tokenizer(r["instruction"] + " " + r["response"]),
                    remove_columns=data.column_names)
trainer = Trainer(model=AutoModelForCausalLM.from_pretrained(name), args=args,
                  train_dataset=rows({str(DATA)!r}, 64),
                  eval_dataset=rows({str(DATA.with_suffix(".val.jsonl"))!r}, 40),
                  data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False))
trainer.train()
trainer.save_state()
"""
HF_CONFIG = {
    "output_dir": "out", "learning_rate": 1e-6, "per_device_train_batch_size": 8,
    "num_train_epochs": 2, "lr_scheduler_type": "cosine", "warmup_steps": 2, "logging_steps": 1,
    "eval_strategy": "steps", "eval_steps": 4, "save_strategy": "no", "report_to": "none",
    "use_cpu": True, "seed": 1,
}  # fmt: skip


@pytest.mark.integration
def test_a_plain_hugging_face_script_is_tuned_by_its_own_arguments(
    base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.py").write_text(HF_SCRIPT)
    (tmp_path / "args.json").write_text(json.dumps(HF_CONFIG, indent=2))
    command = f"{sys.executable} train.py {{config}} {{run_dir}} {base}"
    done = advise(tmp_path, "tune", "args.json", "--command", command, "--runs", "2", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["outcome"]["better"] and said["runs"][0]["status"] == "finished"
    assert any("offers no test split" in note for note in said["outcome"]["notes"])
    best = json.loads((tmp_path / "tune-args/best.json").read_text())
    assert best["learning_rate"] > 1e-5 and best["report_to"] == "none"


def test_a_sweep_of_three_rates_picks_the_one_that_learns(tiny: str, tmp_path: Path) -> None:
    done = advise(tmp_path, "sweep", "my.yaml", "--lr", "1e-6,3e-3,3", "--steps", "10")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pick lr-0.003" in done.stdout
    assert (tmp_path / "my.yaml").read_text() == tiny
    logs = [tmp_path / f"sweep-my/lr-{rate}/run/training.jsonl" for rate in ("1e-06", "0.003", "3")]
    rates = [max(json.loads(line)["lr"] for line in log.read_text().splitlines()) for log in logs]
    assert rates == pytest.approx([1e-6, 3e-3, 3.0])
    assert "<svg" in (tmp_path / "sweep-my" / "sweep.html").read_text()


def test_a_range_test_grows_the_rate_and_chooses_those_of_the_sweep(
    tiny: str, tmp_path: Path
) -> None:
    done = advise(tmp_path, "sweep", "my.yaml", "--range-test", "--steps", "12", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "range test: the loss was lowest at a rate of" in done.stderr
    lines = (tmp_path / "sweep-my/range-test/run/training.jsonl").read_text().splitlines()
    rates = [json.loads(line)["lr"] for line in lines]
    assert len(rates) == 12 and rates == sorted(rates) and rates[-1] == pytest.approx(4e-3)
    said = json.loads(done.stdout)
    assert len(said["runs"]) == 4 and said["pick"]["label"].startswith("lr-")
