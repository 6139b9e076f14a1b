"""`advise fix` through the real command, in both dialects: what is written, refused, printed."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

AUTOMODEL = """\
# a run of ours
step_scheduler:
  global_batch_size: 32   # over all devices
  local_batch_size: 8
  num_epochs: 3

optimizer:
  _target_: torch.optim.AdamW
  lr: 2.0e-4  # peak
  weight_decay: 0.01
lr_scheduler: {lr_decay_style: cosine, lr_warmup_steps: 20}
clip_grad_norm:
  max_norm: 1.0
peft:
  match_all_linear: true
  dim: 16
  alpha: 32
wandb:
  api_key: s3cr3t
"""
ARGUMENTS: dict[str, Any] = {
    "output_dir": "out",
    "learning_rate": 2e-4,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 4,
    "bf16": True,
    "hub_token": "s3cr3t",
}
STEPS = 200


def advise(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "advisor", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def rate(step: int) -> float:
    after = max(0, step - 20) / (STEPS - 20)
    return 2e-4 * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * after))


def curve(kind: str) -> tuple[list[float], dict[int, float]]:
    """Return the training losses and the evaluations of a run that is sick in one way."""
    noise = random.Random(kind)
    loss, held = [], {}
    for i in range(STEPS):
        fall = 1.2 + 2 * math.exp(-i / 30)
        jump = 3.0 if kind == "spikes" and i > 60 and i % 35 < 3 else 0.0
        learns = max(0, i - 60) / 160 if kind == "overfits" else 0.0
        spread = 4.0 if kind == "noisy" else 0.02
        level = 10.0 if kind == "noisy" else fall - learns
        loss.append(0.0 if kind == "masked" else level + jump + noise.gauss(0, spread))
        if i % 20 == 19 and kind == "overfits":
            held[i] = fall + 0.9 * max(0, i - 80) / 100 + noise.gauss(0, 0.003)
    return loss, held


def automodel(place: Path, kind: str = "spikes", config: str | None = AUTOMODEL) -> Path:
    place.mkdir(parents=True)
    loss, held = curve(kind)
    rows = [{"step": i, "epoch": i * 3 // STEPS, "loss": v, "lr": rate(i), "tps": 9000.0,
             "num_label_tokens": 4000} for i, v in enumerate(loss)]  # fmt: skip
    (place / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"step": i, "val_loss": v, "lr": rate(i)} for i, v in held.items()]
    (place / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if config is not None:
        (place / "config.yaml").write_text(config)
    return place


def trainer(
    place: Path, kind: str = "spikes", name: str = "", text: str = "", lr: bool = True
) -> Path:
    place.mkdir(parents=True)
    loss, held = curve(kind)
    history: list[dict[str, Any]] = []
    for i, value in enumerate(loss):
        entry = {"epoch": (i + 1) * 3 / STEPS, "loss": value, "step": i + 1}
        history.append(entry | {"learning_rate": rate(i)} if lr else entry)
        if i in held:
            history.append({"epoch": (i + 1) * 3 / STEPS, "eval_loss": held[i], "step": i + 1})
    state = {"global_step": STEPS, "max_steps": STEPS, "num_train_epochs": 3,
             "log_history": history}  # fmt: skip
    (place / "trainer_state.json").write_text(json.dumps(state))
    if name:
        (place / name).write_text(text or json.dumps(ARGUMENTS, indent=2))
    return place


def changed(old: str, new: str) -> list[str]:
    """Return the lines of ``new`` that ``old`` lacks; what is gone is counted by the caller."""
    before = old.splitlines()
    return [line for line in new.splitlines() if line not in before]


def test_an_automodel_config_gets_one_line_changed_and_keeps_the_rest(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    done = advise("fix", run)
    assert done.returncode == 0, done.stderr
    assert f"wrote 1 edit to {run / 'config.next.yaml'}" in done.stdout
    new = (run / "config.next.yaml").read_text()
    assert changed(AUTOMODEL, new) == ["  lr: 8.0e-5  # peak"]
    assert len(new.splitlines()) == len(AUTOMODEL.splitlines())
    assert (run / "config.yaml").read_text() == AUTOMODEL


def test_json_arguments_get_their_own_key_changed(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", name="args.json")
    assert advise("fix", run).returncode == 0
    new = json.loads((run / "args.next.json").read_text())
    assert new == ARGUMENTS | {"learning_rate": 8e-5}


FRONT_ENDS = {
    "llama-factory": "finetuning_type: lora\nlora_rank: 8\nlora_target: all\n"
    "per_device_train_batch_size: 8\ngradient_accumulation_steps: 4\nlearning_rate: 2.0e-4 # x\n"
    "num_train_epochs: 3.0\ncutoff_len: 2048\n",
    "axolotl": "base_model: m\nadapter: lora\nlora_r: 16\nlora_alpha: 32\nmicro_batch_size: 8\n"
    "gradient_accumulation_steps: 4\nlearning_rate: 2.0e-4 # x\nnum_epochs: 3\n",
    "trl": "model_name_or_path: m\nuse_peft: true\nlora_r: 16\nlearning_rate: 2.0e-4 # x\n"
    "num_train_epochs: 3\nper_device_train_batch_size: 8\ngradient_accumulation_steps: 4\n",
    "nested": "model: {name: m}\ntrain_arguments:\n  learning_rate: 2.0e-4 # x\n"
    "  num_train_epochs: 3\n  per_device_train_batch_size: 8\n  gradient_accumulation_steps: 4\n",
}


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_configs_of_the_common_front_ends_are_edited_in_place(tmp_path: Path, name: str) -> None:
    text = FRONT_ENDS[name]
    run = trainer(tmp_path / "run", name="sft.yaml", text=text)
    assert advise("fix", run).returncode == 0
    new = (run / "sft.next.yaml").read_text()
    assert changed(text, new) in (["learning_rate: 8.0e-5 # x"], ["  learning_rate: 8.0e-5 # x"])


def test_overfitting_writes_fewer_epochs_in_the_words_of_each_front_end(tmp_path: Path) -> None:
    for name, key in (("axolotl", "num_epochs"), ("llama-factory", "num_train_epochs")):
        run = trainer(tmp_path / name, "overfits", "sft.yaml", FRONT_ENDS[name])
        assert advise("fix", run).returncode == 0
        old, new = (YAML().load((run / f).read_text()) for f in ("sft.yaml", "sft.next.yaml"))
        assert new[key] < old[key]


def test_a_noisy_run_gets_more_accumulation_and_its_rate_the_root(tmp_path: Path) -> None:
    arguments = ARGUMENTS | {"learning_rate": 1e-4}
    run = trainer(tmp_path / "run", "noisy", "args.json", json.dumps(arguments), lr=False)
    done = advise("fix", run)
    assert done.returncode == 0, done.stderr
    new = json.loads((run / "args.next.json").read_text())
    assert new["gradient_accumulation_steps"] == 8
    assert new["learning_rate"] == 1.4e-4
    shown = advise("check", run).stdout
    assert "gradient_accumulation_steps  4 -> 8" in shown


def test_doing_it_again_changes_nothing_and_is_no_error(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    advise("fix", run)
    once = (run / "config.next.yaml").read_bytes()
    assert advise("fix", run).returncode == 0
    assert (run / "config.next.yaml").read_bytes() == once
    assert sorted(p.name for p in run.iterdir()) == [
        "config.next.yaml", "config.yaml", "training.jsonl", "validation.jsonl",
    ]  # fmt: skip


def test_in_place_keeps_what_the_run_was_trained_with(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    os.utime(run / "training.jsonl", (1_000_000, 1_000_000))
    for _ in range(3):
        done = advise("fix", run, "--in-place")
        assert done.returncode == 0, done.stderr
        assert changed(AUTOMODEL, (run / "config.yaml").read_text()) == ["  lr: 8.0e-5  # peak"]
        assert (run / "config.yaml.before").read_text() == AUTOMODEL
    assert "already changed" in done.stdout and "wrote nothing" in done.stdout


def test_a_second_edit_in_place_does_not_forget_the_first_config(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", "overfits")
    os.utime(run / "training.jsonl", (1_000_000, 1_000_000))
    os.utime(run / "validation.jsonl", (1_000_000, 1_000_000))
    advise("fix", run, "--in-place")
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("lr_warmup_steps: 13", "lr_warmup_steps: 20"))
    advise("fix", run, "--in-place")
    assert (run / "config.yaml.before").read_text() == AUTOMODEL


def test_a_value_that_the_user_changed_since_is_left_alone(tmp_path: Path) -> None:
    mine = AUTOMODEL.replace("2.0e-4", "7.0e-5")
    run = automodel(tmp_path / "run", config=mine)
    done = advise("fix", run)
    assert done.returncode == 0
    assert "already changed" in done.stdout
    assert not (run / "config.next.yaml").exists()


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    (run / "config.next.yaml").write_text("mine")
    (tmp_path / "other.yaml").write_text("mine too")
    for words in ((), ("-o", tmp_path / "other.yaml"), ("-o", run / "config.yaml")):
        done = advise("fix", run, *words)
        assert done.returncode == 2 and "exists already" in done.stderr
        assert done.stderr.count("\n") == 1
    assert (run / "config.next.yaml").read_text() == "mine"
    assert (tmp_path / "other.yaml").read_text() == "mine too"
    assert (run / "config.yaml").read_text() == AUTOMODEL


def test_output_and_in_place_exclude_each_other(tmp_path: Path) -> None:
    done = advise("fix", automodel(tmp_path / "run"), "--in-place", "-o", tmp_path / "x.yaml")
    assert done.returncode == 2 and "exclude each other" in done.stderr


def test_a_diff_is_a_patch_that_can_be_applied_and_writes_nothing(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    done = advise("fix", run, "--diff")
    assert done.returncode == 0 and "s3cr3t" not in done.stdout
    assert not (run / "config.next.yaml").exists()
    subprocess.run(["patch", "-s", "-p1"], cwd=run, input=done.stdout, text=True, check=True)
    assert changed(AUTOMODEL, (run / "config.yaml").read_text()) == ["  lr: 8.0e-5  # peak"]


def test_safe_leaves_out_what_changes_what_is_learnt(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    for words in (("--safe",), ("--safe", "--diff")):
        done = advise("fix", run, *words)
        assert done.returncode == 0 and "8.0e-5" not in done.stdout
    assert not (run / "config.next.yaml").exists()


def test_secrets_stay_in_the_file_and_off_the_screen(tmp_path: Path) -> None:
    text = AUTOMODEL.replace("optimizer:", "wandb_key: s3cr3t-too\noptimizer:")
    run = automodel(tmp_path / "run", config=text)
    assert "s3cr3t" not in advise("fix", run).stdout
    assert "s3cr3t-too" in (run / "config.next.yaml").read_text()
    assert "s3cr3t" not in advise("check", run, "--format", "json").stdout


def test_without_a_config_the_rate_of_the_log_gives_keyword_arguments(tmp_path: Path) -> None:
    done = advise("fix", trainer(tmp_path / "run"))
    assert done.returncode == 0
    assert done.stdout == "TrainingArguments(\n    learning_rate=8e-05,\n)\n"
    whole = json.loads(advise("check", tmp_path / "run", "--format", "json").stdout)
    plan = whole["runs"][0]["plan"]
    assert "inferred from the log" in plan["edits"][0]["note"] and plan["diff"] is None
    assert plan["overrides"] == ["--learning_rate", "8e-05"]


def test_without_a_config_an_automodel_log_gives_its_yaml(tmp_path: Path) -> None:
    done = advise("fix", automodel(tmp_path / "run", config=None))
    assert done.returncode == 0
    assert YAML(typ="safe").load(done.stdout) == {"optimizer": {"lr": 8e-5}}


def test_without_any_value_the_way_to_state_one_is_named(tmp_path: Path) -> None:
    run = trainer(tmp_path / "run", lr=False)
    done = advise("fix", run)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--config" in done.stderr and "--set optimizer.lr=" in done.stderr
    stated = advise("fix", run, "--set", "optimizer.lr=1e-3")
    assert stated.returncode == 0 and "learning_rate=0.0004" in stated.stdout


def test_a_config_named_by_the_user_is_the_one_that_is_written(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=None)
    mine = tmp_path / "mine.yaml"
    mine.write_text(AUTOMODEL)
    assert advise("fix", run, "--config", mine).returncode == 0
    assert "lr: 8.0e-5" in (tmp_path / "mine.next.yaml").read_text()


def test_a_variable_of_the_user_is_not_written_over(tmp_path: Path) -> None:
    text = AUTOMODEL.replace("lr: 2.0e-4", "lr: ${LR}")
    run = automodel(tmp_path / "run", config=text)
    done = advise("fix", run)
    assert done.returncode == 2 and "${LR}" in done.stderr
    assert not (run / "config.next.yaml").exists()


def test_labels_that_are_masked_leave_the_config_alone(tmp_path: Path) -> None:
    done = advise("fix", automodel(tmp_path / "run", "masked"))
    assert done.returncode == 0 and "nothing to change" in done.stdout
    assert not (tmp_path / "run" / "config.next.yaml").exists()


def test_several_runs_are_one_line_that_names_them(tmp_path: Path) -> None:
    automodel(tmp_path / "runs/a")
    automodel(tmp_path / "runs/b")
    done = advise("fix", tmp_path / "runs")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "2 runs" in done.stderr and "runs/a" in done.stderr and "runs/b" in done.stderr


def test_a_config_that_two_runs_share_is_written_for_one_of_them(tmp_path: Path) -> None:
    shared = tmp_path / "shared.yaml"
    shared.write_text(AUTOMODEL)
    for name in "ab":
        automodel(tmp_path / "runs" / name, config=None)
    done = advise("check", tmp_path / "runs", "--config", shared, "--fix", "--unsafe-fixes")
    assert done.returncode == 1
    assert "fix one run at a time" in done.stdout.replace("\n", " ")
    assert (tmp_path / "shared.next.yaml").exists()


HOSTILE = {
    "binary": b"\x00\xff\xfe lr: 1",
    "several documents": b"lr: 1\n---\nlearning_rate: 2\n",
    "tabs": b"optimizer:\n\tlr: 1\nstep_scheduler:\n  num_epochs: 1\n",
    "huge": b"x: " + b"y" * 300_000,
    "deep": b"optimizer: {lr: 1}\nstep_scheduler: {num_epochs: 1}\nx: " + b"[" * 3000,
    "no mapping": b"- a\n- b\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_one_line_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    run = automodel(tmp_path / "run", config=None)
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(HOSTILE[name])
    done = advise("fix", run, "--config", bad, "--in-place")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "bad.yaml" in done.stderr
    assert bad.read_bytes() == HOSTILE[name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml", "run"]


def test_objects_in_yaml_are_never_made(tmp_path: Path) -> None:
    made = tmp_path / "made"
    attack = f"lr: !!python/object/apply:os.system ['touch {made}']"
    text = AUTOMODEL.replace("weight_decay: 0.01", attack.replace("lr:", "weight_decay:"))
    run = automodel(tmp_path / "run", config=text)
    assert advise("fix", run).returncode == 0
    assert not made.exists() and attack[4:] in (run / "config.next.yaml").read_text()


def test_a_folder_or_a_pipe_is_no_config(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=None)
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in (tmp_path, tmp_path / "pipe.yaml", tmp_path / "none.yaml"):
        done = advise("fix", run, "--config", place)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_link_out_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.yaml"
    real.write_text(AUTOMODEL)
    run = automodel(tmp_path / "run", config=None)
    (run / "config.yaml").symlink_to(real)
    done = advise("fix", run, "--in-place")
    assert done.returncode == 2 and "link" in done.stderr and "elsewhere.yaml" in done.stderr
    assert real.read_text() == AUTOMODEL
    assert advise("fix", run).returncode == 0
    assert "8.0e-5" in (run / "config.next.yaml").read_text()


def test_the_flags_are_those_that_the_trainer_takes(tmp_path: Path) -> None:
    for make, flags in (
        (automodel(tmp_path / "a"), ["--optimizer.lr", "8e-05"]),
        (trainer(tmp_path / "t", name="args.json"), ["--learning_rate", "8e-05"]),
    ):
        whole = json.loads(advise("check", make, "--format", "json").stdout)
        assert whole["runs"][0]["plan"]["overrides"] == flags
