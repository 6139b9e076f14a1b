"""A tiny local model and rows in every layout, to put in place of what the configs name."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from advisor.base.trainer import command

ROWS = 24


@dataclass(frozen=True)
class Local:
    """Where model and rows lie. The rows have the columns of all the guide's data sets."""

    model: Path
    rows: Path
    talks: Path
    calls: Path
    reader: Path

    def overrides(self, target: str, section: str = "dataset") -> list[str]:
        """Flags that point a data section at the local rows of the same layout."""
        if "ChatDataset" in target:
            return [f"--{section}.path_or_dataset_id", str(self.talks)]
        if "xlam" in target:
            return [f"--{section}.dataset_name", str(self.calls)]
        if "nemo_automodel" in target or not target:
            return [f"--{section}.path_or_dataset_id", str(self.rows)]
        return [f"--{section}._target_", f"{self.reader}:make_rows"]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("local")
    found = Local(
        folder / "model", folder / "rows.jsonl", folder / "talks.jsonl", folder / "calls.jsonl",
        folder / "reader.py",
    )  # fmt: skip
    _save_model(found.model)
    for path, row in ((found.rows, _row), (found.talks, _talk), (found.calls, _call)):
        path.write_text("".join(json.dumps(row(i)) + "\n" for i in range(ROWS)))
    found.reader.write_text(
        "def make_rows(split='train', limit_dataset_samples=None):\n"
        f"    rows = [{{'question': f'n{{i}}', 'answer': f'm{{i}}'}} for i in range({ROWS})]\n"
        "    return rows[:limit_dataset_samples]\n"
    )
    return found


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Start the trainer as `advise train` does, in a folder of its own."""

    def start(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(words), cwd=tmp_path, text=True, capture_output=True, timeout=600,
            env={**os.environ, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1", **env},
        )  # fmt: skip

    return start


def _row(i: int) -> dict[str, str]:
    ask, note, reply = f"what is {i}", f"a note on {i}", f"it is {i + 1}"
    names = {"input": ask, "output": reply, "context": note, "response": reply, "instruction": ask}
    names |= {"definition": note, "inputs": ask, "targets": reply}
    return names | {"background": note, "ask": ask, "reply": reply}


def _talk(i: int) -> dict[str, object]:
    turns = [("user", f"say {i}"), ("assistant", f"{i}"), ("user", "more"), ("assistant", "no")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def _call(i: int) -> dict[str, str]:
    tool = {"name": "add", "description": "adds", "parameters": {"n": {"type": "int"}}}
    answer = {"name": "add", "arguments": {"n": i}}
    return {"query": f"add {i}", "tools": json.dumps([tool]), "answers": json.dumps([answer])}


def _save_model(folder: Path) -> None:
    """A random Llama of 32 dimensions, and a tokenizer whose tokens are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: i for i, word in enumerate(["<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
