"""What is wrong is said before the weights are loaded, and the console holds our lines only."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from tests.train.runs.launch import command, environment, run
from tests.train.runs.tiny import LORA, config_text, make_tokenizer, write_jsonl
from train.errors import DataError, TrainConfigError, TrainError


@pytest.fixture
def bare(world: Path, tmp_path: Path) -> Path:
    """A model of which only the weights are missing."""
    import shutil

    shutil.copytree(world / "model", tmp_path / "model", ignore=shutil.ignore_patterns("*.saf*"))
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"dataset.column_mapping.question": "nothing"}, "nothing"),
        ({"dataset.path_or_dataset_id": "./nowhere.jsonl"}, "no such file"),
        ({"validation_dataset.path_or_dataset_id": "./nowhere.jsonl"}, "no such file"),
        ({"peft.target_modules": "[q_porj]"}, "q_porj.*matches no linear layer"),
        ({"step_scheduler.global_batch_size": "9"}, "is 9, which is no multiple"),
    ],
)
def test_the_weights_are_loaded_last(
    sections: dict[str, str], said: str, world: Path, bare: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config_text(world))
    words = [f"--{key}={value}" for key, value in sections.items()]
    with pytest.raises(TrainError, match=said):
        run(path, tmp_path / "run", f"--model.pretrained_model_name_or_path={bare}", *words)


def _learned_positions(family: str, folder: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM

    make_tokenizer(folder)
    shape: dict[str, Any] = {
        "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 40},
        "opt": {
            "hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "max_position_embeddings": 40,
        },
    }[family]  # fmt: skip
    config = AutoConfig.for_model(family, vocab_size=260, eos_token_id=1, bos_token_id=1, **shape)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["gpt2", "opt"])
def test_samples_end_where_a_model_has_no_more_positions(
    family: str, tmp_path: Path, world: Path
) -> None:
    model = _learned_positions(family, tmp_path / "model")
    long = [{"question": "why?", "answer": "because " * 30}] * 8
    path = tmp_path / "config.yaml"
    path.write_text(config_text(world, validation_dataset=None))
    flags = [
        f"--model.pretrained_model_name_or_path={model}",
        f"--dataset.path_or_dataset_id={write_jsonl(tmp_path / 'long.jsonl', long)}",
    ]
    outcome = run(path, tmp_path / "run", *flags, "--step_scheduler.max_steps=2")
    assert outcome.steps == 2
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "8 samples were cut to 40 tokens" in events and "has no positions for more" in events
    with pytest.raises(TrainConfigError, match=r"seq_length: 64 is more than the 40 positions"):
        run(path, tmp_path / "run-2", *flags, "--dataset.seq_length=64")


def test_tokens_without_an_embedding_are_one_line(tmp_path: Path, world: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def build(**options):\n"
        "    return [{'input_ids': [5, 6, 300], 'labels': [5, 6, 300]}] * 8\n"
    )
    data = {"_target_": f"{tmp_path / 'mine.py'}:build"}
    path = tmp_path / "config.yaml"
    path.write_text(config_text(world, dataset=data, validation_dataset=None))
    with pytest.raises(DataError, match=r"has the token 300, the model has embeddings for 0 to"):
        from train.config.load import load_config
        from train.sft import run as fine_tune

        fine_tune(load_config(path, [], {"NEMO_ENABLE_USER_MODULES": "1"}), tmp_path / "run")


def test_the_console_holds_our_own_lines_only(world: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config_text(world, peft=LORA))
    words = ["--step_scheduler.max_steps=2", f"--checkpoint.checkpoint_dir={tmp_path / 'out'}"]
    words += ["--distributed.activation_checkpointing=true"]
    done = subprocess.run(
        command(path, *words), env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == f"train: run in {tmp_path / 'out'}\n"
    starts = ("lora:", "[val]", "step ", "[finding] ", "checkpoint saved:", "finished after")
    assert all(line.startswith(starts) for line in done.stdout.splitlines())
