"""Loss of one compiled layer beside the eager one, and the gradients' sizes, as a line of JSON.

A program of its own: torch reads which vectors it may use once, when it is loaded.
"""

from __future__ import annotations

import json

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from train.model.load import _compile
from train.model.norm import fuse_norms


def measured(model: torch.nn.Module, ids: torch.Tensor) -> list[float]:
    model.zero_grad()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return [loss.item(), *(p.grad.norm().item() for p in model.parameters())]


def main() -> None:
    torch.manual_seed(0)
    settings = LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(settings)
    fuse_norms(model)
    ids = torch.randint(0, 96, (1, 45))
    eager = measured(model, ids)
    _compile(model)
    print(json.dumps([eager, measured(model, ids)]))


if __name__ == "__main__":
    main()
