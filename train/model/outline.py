"""The model without its weights, to find errors before they are loaded."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from train.config.types import ModelConfig, TrainConfig
from train.data.types import ModelLimits
from train.model.adapters import target_names
from train.model.load import load_hf_config, loading
from train.model.quant import quantization


def draw_outline(config: ModelConfig) -> PreTrainedModel:
    """Return the model on torch's meta device: names and shapes, no memory."""
    hf_config = load_hf_config(config)
    source = config.pretrained_model_name_or_path

    def build() -> PreTrainedModel:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(
                hf_config, trust_remote_code=config.trust_remote_code
            )

    return loading(source, "model", build)


def check_method(outline: PreTrainedModel, config: TrainConfig) -> None:
    """Refuse patterns that match no layer, and a quantisation that is not available here."""
    if config.quantization is not None:
        quantization(config.quantization)
    if config.peft is not None:
        target_names(outline, config.peft)


def limits_of(outline: PreTrainedModel) -> ModelLimits:
    """Return what the model can take in."""
    made_for = getattr(outline.config.get_text_config(), "max_position_embeddings", None)
    table = _position_table(outline)
    return ModelLimits(
        name=type(outline).__name__,
        positions=None if table is None else min(table, made_for or table),
        trained_positions=made_for if table is None else None,
        vocabulary=outline.get_input_embeddings().weight.shape[0],
    )


def _position_table(outline: PreTrainedModel) -> int | None:
    """Return the rows of a table of positions (GPT-2, OPT, GPT-J); rotary models have none."""
    for name, module in outline.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and (last == "wpe" or "position" in last):
            return module.num_embeddings
    tables = [b for name, b in outline.named_buffers() if name.endswith("embed_positions")]
    return min((len(table) for table in tables), default=None)
