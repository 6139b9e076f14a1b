"""Makes the gallery's second base model, a tiny GPT-NeoX, from texts in ../shared/data.

    python -m benchmarks.gallery.second_model

It has the tokenizer of presets/base. LayerNorm, biases, partly rotary positions and parallel
residuals: all that the Llama of presets has not. Trained for a few CPU minutes on the same
public-domain texts; the weights stay in benchmarks/cache.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

from benchmarks.places import CACHE, PRESETS, SHARED_DATA

OUT = CACHE / "gallery-neox"
SECONDS, STEPS, PEAK, WARMUP, WINDOW, BATCH = 230.0, 1200, 5e-3, 40, 256, 8


def make(out: Path = OUT) -> Path:
    """Return the folder of the model; it is trained where it is not there."""
    if (out / "model.safetensors").exists():
        return out
    import torch
    from transformers import PreTrainedTokenizerFast

    from benchmarks.tools.make_base_model import TEXTS, read_text, token_stream

    tokenizer = PreTrainedTokenizerFast.from_pretrained(PRESETS / "base")
    texts = [read_text(SHARED_DATA / name) for name in TEXTS]
    model = _build(tokenizer)
    _train(model, token_stream(texts, tokenizer))
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def _build(tokenizer: Any) -> Any:
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=len(tokenizer),
            hidden_size=144,
            intermediate_size=432,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _train(model: Any, stream: Any) -> None:
    """Cosine over STEPS or over the CPU seconds, whichever ends first."""
    import torch

    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95))
    began, step, along = time.process_time(), 0, 0.0
    while along < 1:
        along = max((time.process_time() - began) / SECONDS, step / STEPS)
        cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * min(along, 1)))
        rate = PEAK * min((step + 1) / WARMUP, cosine)
        for group in optimizer.param_groups:
            group["lr"] = rate
        at = torch.randint(0, len(stream) - WINDOW - 1, (BATCH,)).tolist()
        batch = torch.stack([stream[i : i + WINDOW + 1] for i in at])
        logits = model(input_ids=batch[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f} at {along:.0%}", flush=True)
        step += 1


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    print(make())
