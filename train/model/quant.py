"""bitsandbytes: frozen weights in 4 or 8 bits, on a GPU or on the CPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from train.config.types import QuantConfig
from train.errors import MissingExtra, TrainConfigError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

Weight = Callable[[], torch.Tensor]  # the frozen weight, dense, in the dtype of the computation


def quantization(config: QuantConfig) -> BitsAndBytesConfig:
    """Return the quantisation that transformers loads the model with."""
    from transformers import BitsAndBytesConfig

    if config.load_in_4bit == config.load_in_8bit:
        raise TrainConfigError("quantization: set one of load_in_4bit and load_in_8bit to true")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra(
            "quantization needs bitsandbytes; install it with: pip install finetune-advisor[train]"
        )
    if config.load_in_8bit:
        return BitsAndBytesConfig(load_in_8bit=True)
    if config.bnb_4bit_quant_type not in ("nf4", "fp4"):
        raise TrainConfigError(
            f"quantization.bnb_4bit_quant_type is {config.bnb_4bit_quant_type!r}: choose nf4 or fp4"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=config.bnb_4bit_compute_dtype,
        bnb_4bit_use_double_quant=config.bnb_4bit_use_double_quant,
        bnb_4bit_quant_type=config.bnb_4bit_quant_type,
        bnb_4bit_quant_storage=config.bnb_4bit_quant_storage,
    )


def keep_trainable_layout(model: nn.Module) -> None:
    """Stop 4-bit layers from repacking themselves in evaluation on CPUs with AVX512-BF16.

    Repacked weights have no backward pass, so a validation would end the training in silence.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def dense_weight(layer: nn.Module, dtype: torch.dtype) -> Weight:
    """Return a function that makes the weight of a 4-bit layer dense at each call: it is never
    kept."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn.modules import fix_4bit_weight_quant_state_from_module

    fix_4bit_weight_quant_state_from_module(layer)
    weight = layer.weight
    return lambda: dequantize_4bit(weight.data.view(-1, 1), weight.quant_state).to(dtype)
