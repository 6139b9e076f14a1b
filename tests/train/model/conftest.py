"""Tiny random models of several families, saved with a tokenizer, and batches for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

VOCABULARY = 96
SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,  # so that attention and logits are far from uniform
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES = {
    "llama": {"tie_word_embeddings": False},
    "llama_tied": {"model_type": "llama", "tie_word_embeddings": True, "attention_bias": True},
    "llama_yarn": {
        "model_type": "llama",
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 6},
    "gemma": {"head_dim": 8},
    "gemma2": {
        "head_dim": 8,
        "sliding_window": 6,
        "query_pre_attn_scalar": 8,
        "final_logit_softcapping": 3.0,
        "attn_logit_softcapping": 2.0,
    },
    "gemma3_text": {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5},
    "smollm3": {},
    "phi3": {},
    "olmo2": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "gpt_neox": {},
    "gpt_oss": {
        "head_dim": 8,
        "sliding_window": 6,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "do_layer_norm_before": True},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mamba": {"state_size": 8},
}


@pytest.fixture
def make_model() -> Callable[..., torch.nn.Module]:
    """A model of a family: ``make_model("llama", num_hidden_layers=1)``."""
    from transformers import AutoConfig, AutoModelForCausalLM

    def make(family: str = "llama", seed: int = 0, **extra: object) -> torch.nn.Module:
        settings = {"model_type": family, **SHARED, **FAMILIES[family], **extra}
        torch.manual_seed(seed)
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=None)
        for parameter in model.parameters():  # norms and biases other than 1 and 0
            parameter.data += 0.05 * torch.randn_like(parameter)
        return model

    return make


@pytest.fixture
def samples() -> list:
    """Five samples of 3 to 21 tokens, two of equal length beside each other."""
    from train.data.types import IGNORE, Sample

    draw = random.Random(0)
    made = []
    for length, prompt in ((9, 4), (13, 2), (13, 6), (3, 1), (21, 0)):
        ids = [draw.randrange(3, VOCABULARY) for _ in range(length)]
        made.append(Sample(ids, [IGNORE] * prompt + ids[prompt:]))
    return made


@pytest.fixture
def batch(samples: list) -> object:
    from tests.train.batches import collate

    return collate([[sample] for sample in samples])


@pytest.fixture
def saved(make_model: Callable[..., torch.nn.Module], tmp_path: Path) -> Callable[..., Path]:
    """A folder with a model and a tokenizer: ``saved("llama", dtype=torch.bfloat16)``."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def save(family: str = "llama", dtype: torch.dtype = torch.float32, **extra: object) -> Path:
        folder = tmp_path / family
        make_model(family, **extra).to(dtype).save_pretrained(folder)
        words = {f"w{i}": i for i in range(VOCABULARY)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="w0", bos_token="w1", eos_token="w2"
        ).save_pretrained(folder)
        return folder

    return save
