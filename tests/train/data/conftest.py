"""Small tokenizers of the kinds that models come with, and chat templates of several makers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

TEXT = [
    "The quick brown fox jumps over the lazy dog. What is the capital of France? Paris.",
    "Question: how many legs has a spider? Answer: eight legs, of course. yes no yes no",
    "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
] * 4
SPECIAL = ["<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>"]


def _wrap(inner: Any, bos: bool, **names: str) -> Any:
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    if bos:
        inner.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, **{"bos_token": "<s>", "eos_token": "</s>", **names}
    )


def byte_tokenizer(bos: bool = False, specials: Sequence[str] = SPECIAL, **names: str) -> Any:
    """As GPT-2's, Llama 3's or Qwen's: bytes, and a blank belongs to the word after it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(TEXT, trainer)
    return _wrap(inner, bos, **names)


def blank_tokenizer(bos: bool = True) -> Any:
    """As Llama 2's or Mistral's: writes a blank before every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    inner = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    letters = sorted({letter for text in TEXT for letter in text} - {" "})
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=[*letters, "▁"],
        show_progress=False,
    )
    inner.train_from_iterator([word for text in TEXT for word in text.split()], trainer)
    return _wrap(inner, bos, unk_token="<unk>")


@pytest.fixture(scope="session")
def plain() -> Any:
    return byte_tokenizer()


@pytest.fixture(scope="session")
def with_bos() -> Any:
    return byte_tokenizer(bos=True)


@pytest.fixture(scope="session")
def end_pads() -> Any:
    return byte_tokenizer(pad_token="</s>")


@pytest.fixture(scope="session")
def blank_first() -> Any:
    return blank_tokenizer()


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., str]:
    def write(rows: Sequence[object], name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write
