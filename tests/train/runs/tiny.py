"""A tiny random Llama, a tokenizer of bytes, and data with a rule in it, written to a folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any


def make_model(folder: Path, hidden: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """Write a model that from_pretrained loads."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    make_tokenizer(folder)
    config = LlamaConfig(
        vocab_size=260, hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, pad_token_id=0, bos_token_id=None, eos_token_id=1,
        tie_word_embeddings=False,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_tokenizer(folder: Path) -> None:
    """Write a tokenizer whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "<eos>": 1, "<unk>": 2}
    vocabulary |= {letter: 3 + i for i, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def make_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Questions with one right answer each: a letter, three times."""
    chance = random.Random(seed)
    rows = []
    for _ in range(count):
        letter = chance.choice("abcdefgh")
        noise = "".join(chance.choice("xyz") for _ in range(chance.randint(2, 12)))
        rows.append({"question": f"{noise}{letter}?", "answer": letter * 3})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def config_text(folder: Path, **sections: Any) -> str:
    """Return a config in the guide's shape; a section given replaces ours."""
    tree: dict[str, Any] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": str(folder / "model"),
        },
        "step_scheduler": {
            "global_batch_size": 8, "local_batch_size": 4, "num_epochs": 2, "max_steps": 12,
            "ckpt_every_steps": 5, "val_every_steps": 4,
        },
        "dataset": dataset(folder / "train.jsonl"),
        "validation_dataset": dataset(folder / "val.jsonl"),
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 3e-3, "weight_decay": 0.01},
        "lr_scheduler": {"lr_decay_style": "cosine", "min_lr": 1e-5},
        "checkpoint": {"enabled": True, "checkpoint_dir": str(folder / "run")},
        "seed": 7,
    }  # fmt: skip
    tree |= sections
    # JSON is YAML
    return json.dumps({k: v for k, v in tree.items() if v is not None}, indent=1)


def dataset(path: Path) -> dict[str, Any]:
    return {
        "_target_": (
            "nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset."
            "ColumnMappedTextInstructionDataset"
        ),
        "path_or_dataset_id": str(path),
        "column_mapping": {"question": "question", "answer": "answer"},
        "answer_only_loss_mask": True,
    }


LORA = {"match_all_linear": True, "dim": 4, "alpha": 8, "dropout": 0.1}


def make_world(folder: Path, **sections: Any) -> Path:
    """Write model, data and config; return the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        make_model(folder / "model")
    write_jsonl(folder / "train.jsonl", make_rows(160, seed=1))
    write_jsonl(folder / "val.jsonl", make_rows(24, seed=2))
    path = folder / "config.yaml"
    path.write_text(config_text(folder, **sections))
    return path
