"""Configs: what is read from one file, what is found around a log, what a user states."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from advisor.config.attach import attach_config, find_config, load_config, with_facts
from advisor.dialects import default_of
from advisor.errors import ConfigError
from advisor.run import Config, Run, Series

FIXTURES = Path(__file__).parent / "fixtures" / "configs"


def make_log(folder: Path, name: str = "trainer_state.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / name
    log.write_text("{}")
    return log


def run_with(path: Path, lr: list[float] | None = None, **facts: object) -> Run:
    series = {}
    if lr is not None:
        steps = np.arange(1, len(lr) + 1, dtype=np.int64)
        series["train/lr"] = Series("train/lr", steps, np.array(lr, dtype=np.float64))
    return Run(str(path), "transformers", series, facts=facts)


def test_an_automodel_config_gives_only_what_it_sets() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    assert config.dialect == "automodel"
    assert config.values["optimizer.lr"] == 2e-4
    assert config.values["optimizer.eps"] == 1e-8
    assert config.values["method"] == "lora"
    assert "clip_grad_norm.max_norm" not in config.values
    assert default_of("automodel", "clip_grad_norm.max_norm") == 1.0


def test_arguments_in_json_give_the_global_batch_and_the_precision() -> None:
    config = load_config(FIXTURES / "args.json")
    assert config.dialect == "transformers"
    assert config.values["step_scheduler.global_batch_size"] == 16
    assert config.values["precision.amp"] == "fp16"
    assert config.values["optimizer.betas"] == [0.9, 0.95]
    assert "method" not in config.values


def test_llama_factory_keys_are_understood() -> None:
    values = load_config(FIXTURES / "sft.yaml").values
    assert values["optimizer.lr"] == 1e-4
    assert values["method"] == "lora"
    assert values["peft.dim"] == 8
    assert values["peft.match_all_linear"] is True
    assert values["lr_scheduler.lr_warmup_ratio"] == 0.1


def test_a_trackers_record_is_read_but_never_the_file_to_edit() -> None:
    config = load_config(FIXTURES / "wandb.yaml")
    assert config.values["optimizer.lr"] == 1e-5
    assert config.values["peft.dim"] == 16
    assert config.values["method"] == "lora"
    assert "dataset.seq_length" not in config.values
    assert config.path is None


def test_hyper_parameters_of_no_known_trainer_are_read() -> None:
    config = load_config(FIXTURES / "hparams.yaml")
    assert config.values["optimizer.lr"] == 5e-6
    assert config.values["clip_grad_norm.max_norm"] == 0.5
    assert (config.dialect, config.path) == ("", None)


def test_an_adapter_merges_into_the_arguments_beside_it(tmp_path: Path) -> None:
    log = make_log(tmp_path / "run" / "checkpoint-20")
    shutil.copy(FIXTURES / "args.json", tmp_path / "run" / "args.json")
    shutil.copy(FIXTURES / "adapter_config.json", log.parent)
    config = find_config(log)
    assert config.values["peft.alpha"] == 64
    assert config.values["method"] == "dora"
    assert config.values["optimizer.lr"] == 2e-4
    assert config.path is not None and config.path.endswith("args.json")
    assert config.origin["peft.dim"] == "adapter_config.json"


def test_the_folder_above_a_run_is_not_searched(tmp_path: Path) -> None:
    log = make_log(tmp_path / "run")
    shutil.copy(FIXTURES / "args.json", tmp_path / "args.json")
    assert find_config(log) == Config()


def test_tensorboard_files_find_the_arguments_of_their_run(tmp_path: Path) -> None:
    log = make_log(tmp_path / "out" / "runs" / "Jan01_host", "events.out.tfevents.1")
    shutil.copy(FIXTURES / "args.json", tmp_path / "out")
    assert find_config(log).values["optimizer.lr"] == 2e-4


def test_a_models_own_config_is_no_training_config_but_means_full(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    text = '{"architectures": ["X"], "gradient_checkpointing": false, "_name_or_path": "y"}'
    (tmp_path / "config.json").write_text(text)
    config = find_config(log)
    assert (config.dialect, config.path) == ("", None)
    assert config.values == {"method": "full"}


def test_a_checkpoints_own_config_says_what_was_trained_with(tmp_path: Path) -> None:
    make_log(tmp_path, "training.jsonl")
    text = (FIXTURES / "automodel.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("2.0e-4", "6.0e-05"))
    saved = tmp_path / "epoch_0_step_49"
    saved.mkdir()
    (saved / "config.yaml").write_text(text)
    config = find_config(tmp_path)
    assert config.values["optimizer.lr"] == 2e-4
    assert config.path == str(tmp_path / "config.yaml")


def test_several_candidates_are_named_in_a_note(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    shutil.copy(FIXTURES / "sft.yaml", tmp_path / "sft.yaml")
    shutil.copy(FIXTURES / "args.json", tmp_path / "args.json")
    run = attach_config(run_with(log, [1e-4, 2e-4, 1e-4]), tmp_path)
    assert "config: args.json taken, not sft.yaml" in run.notes


def test_weights_without_an_adapter_mean_full_fine_tuning(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    shutil.copy(FIXTURES / "args.json", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert find_config(log).values["method"] == "full"


def test_a_broken_config_is_left_out_with_a_note(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    (tmp_path / "config.yaml").write_text("lr: [1, 2\n  b: }")
    run = attach_config(run_with(log), tmp_path)
    assert run.config.values == {}
    assert any("config left out" in note for note in run.notes)


@pytest.mark.parametrize(
    "text",
    [
        "lr: !!python/object/apply:os.system ['true']\nepochs: 1\n",
        "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nlr: 1e-3\nepochs: 2\n",
        "lr: 1e-3\nepochs: 2\nx: " + "[" * 5000 + "\n",
        "lr: &l [*l]\n",
        "- lr\n- 1\n",
        "\x00",
        "",
    ],
)
def test_hostile_text_gives_values_or_one_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    try:
        load_config(path)
    except ConfigError as error:
        assert str(path) in str(error)


def test_nested_merges_do_not_multiply(tmp_path: Path) -> None:
    lines = ["a0: &a0 {lr: 1e-3, epochs: 2}"]
    for i in range(1, 25):
        many = ", ".join([f"*a{i - 1}"] * 9)
        lines.append(f"a{i}: &a{i} {{<<: [{many}]}}")
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines) + "\nlr: 1e-3\nepochs: 2\n")
    assert load_config(path).values["optimizer.lr"] == 1e-3


def test_variables_stay_unexpanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/secret")
    path = tmp_path / "config.yaml"
    path.write_text("step_scheduler: {num_epochs: 1}\ndataset:\n  path_or_dataset_id: ${DATA}\n")
    assert load_config(path).values["dataset.path_or_dataset_id"] == "${DATA}"


def test_facts_take_canonical_and_native_names() -> None:
    config = with_facts(
        Config(dialect="transformers"), {"learning_rate": "1e-4", "data.samples": "5000"}
    )
    assert config.values == {"optimizer.lr": 1e-4, "data.samples": 5000}
    assert config.origin["data.samples"] == "--set"


def test_facts_move_the_global_batch() -> None:
    config = with_facts(load_config(FIXTURES / "args.json"), {"data.parallel": "4"})
    assert config.values["step_scheduler.global_batch_size"] == 64


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("optimizer.lrr", "1", "optimizer.lr"),
        ("optimizer.lr", "fast", "a number"),
        ("method", "magic", "lora"),
        ("data.samples", "1.5", "whole number"),
    ],
)
def test_a_wrong_fact_is_a_clear_error(name: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        with_facts(Config(), {name: value})


def test_the_log_fills_what_no_file_says(tmp_path: Path) -> None:
    run = run_with(make_log(tmp_path), [1e-4, 2e-4, 1e-4], num_train_epochs=3, train_batch_size=4)
    config = attach_config(run, tmp_path).config
    assert config.values["optimizer.lr"] == 2e-4
    assert config.values["step_scheduler.num_epochs"] == 3
    assert config.origin["optimizer.lr"] == "log"


def test_a_rate_that_still_rises_is_no_peak(tmp_path: Path) -> None:
    run = run_with(make_log(tmp_path), [1e-5, 2e-5, 3e-5])
    assert "optimizer.lr" not in attach_config(run, tmp_path).config.values


def test_an_edit_in_place_after_the_run_does_not_change_what_it_was_trained_with(
    tmp_path: Path,
) -> None:
    log = make_log(tmp_path)
    shutil.copy(FIXTURES / "args.json", tmp_path / "args.json.before")
    text = (FIXTURES / "args.json").read_text().replace("0.0002", "6e-05")
    (tmp_path / "args.json").write_text(text)
    os.utime(log, (1_000_000, 1_000_000))
    assert find_config(log).values["optimizer.lr"] == 2e-4
    os.utime(log, (4_000_000_000, 4_000_000_000))  # a later run took the edit
    assert find_config(log).values["optimizer.lr"] == 6e-5
