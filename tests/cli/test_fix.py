"""`advise fix` through the real command, in both dialects: what is written and printed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.cli.program import advise
from tests.cli.sick_runs import (
    ARGUMENTS,
    AUTOMODEL,
    automodel,
    changed,
    trainer,
)


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


def test_what_was_written_for_the_next_run_is_no_other_config_of_this_one(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    assert advise("fix", run).returncode == 0
    assert "config.next.yaml" not in advise("check", run).stdout


def test_doing_it_again_changes_nothing_and_is_no_error(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    advise("fix", run)
    once = (run / "config.next.yaml").read_bytes()
    assert advise("fix", run).returncode == 0
    assert (run / "config.next.yaml").read_bytes() == once
    assert sorted(p.name for p in run.iterdir()) == [
        "advise-fix.json", "config.next.yaml", "config.yaml", "training.jsonl", "validation.jsonl",
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
    for log in ("training.jsonl", "validation.jsonl"):
        os.utime(run / log, (1_000_000, 1_000_000))
    done = advise("fix", run)
    assert done.returncode == 0
    assert "already changed" in done.stdout
    assert not (run / "config.next.yaml").exists()


def test_a_config_of_another_rate_is_not_this_runs_and_is_said_so(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=AUTOMODEL.replace("2.0e-4", "7.0e-5"))
    done = advise("fix", run)
    assert "optimizer.lr 7e-05, the log has 0.0002" in done.stderr
    assert done.stdout == "optimizer:\n  lr: 8.0e-05\n"
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
    assert "--config" in done.stderr and "--set learning_rate=" in done.stderr
    stated = advise("fix", run, "--set", "learning_rate=1e-3")
    assert stated.returncode == 0 and "learning_rate=0.0004" in stated.stdout


def test_a_config_named_by_the_user_is_the_one_that_is_written(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=None)
    mine = tmp_path / "mine.yaml"
    mine.write_text(AUTOMODEL)
    assert advise("fix", run, "--config", mine).returncode == 0
    assert "lr: 8.0e-5" in (tmp_path / "mine.next.yaml").read_text()


def test_the_flags_are_those_that_the_trainer_takes(tmp_path: Path) -> None:
    for make, flags in (
        (automodel(tmp_path / "a"), ["--optimizer.lr", "8e-05"]),
        (trainer(tmp_path / "t", name="args.json"), ["--learning_rate", "8e-05"]),
    ):
        whole = json.loads(advise("check", make, "--format", "json").stdout)
        assert whole["runs"][0]["plan"]["overrides"] == flags
