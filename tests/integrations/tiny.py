"""What the real trainings of these tests share: a tiny model, tokens to learn, what was told."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM

WORDS, LENGTH = 32, 16


class Counting(Dataset):  # type: ignore[type-arg]
    """Sequences that count on from a start: learnt in some tens of steps.

    ``noise`` is the share of tokens that are random: what cannot be learnt, but by heart.
    """

    def __init__(self, count: int, noise: float = 0.1, seed: int = 0) -> None:
        maker = torch.Generator().manual_seed(seed)
        start = torch.randint(WORDS, (count, 1), generator=maker)
        tokens = (start + torch.arange(LENGTH)) % WORDS
        other = torch.randint(WORDS, tokens.shape, generator=maker)
        mask = torch.rand(tokens.shape, generator=maker) < noise
        self.tokens = torch.where(mask, other, tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, at: int) -> dict[str, Any]:
        row = self.tokens[at]
        return {"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)}


def model(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=LENGTH,
        )
    )  # fmt: skip


class Heard(list[str]):
    """The lines that were told."""

    def loud(self) -> list[str]:
        return [line for line in self if " raised warning" in line or " raised error" in line]

    def __call__(self, line: str) -> None:
        self.append(line)
