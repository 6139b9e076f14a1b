"""Load base model, adapter and tokenizer as the config says, ready to train.

Whatever is trained is held in fp32: an update of 1e-6 of a weight is lost in bf16, whose steps are
1/256. Full fine-tuning in bf16 therefore loads fp32 weights and computes under autocast; autograd
then hands fp32 gradients to the optimiser, and there is no second copy to keep in step. With an
adapter the frozen weights are in the compute dtype and only the adapter is fp32.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.compiler.config
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from train.config.types import DistributedConfig, ModelConfig, TrainConfig
from train.device import is_out_of_memory, keep_freed_memory, pick_device
from train.errors import ModelError, TrainConfigError
from train.model.adapters import with_adapter
from train.model.forward import ForwardPlan, causal_model, plan_forward
from train.model.norm import fuse_norms
from train.model.quant import keep_trainable_layout, quantization

_HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
_SHOWN = 3  # names of missing weights in an error


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``trainable``: (name, parameter) of all that the optimiser is to move, in fp32."""

    model: nn.Module  # PreTrainedModel, or PeftModel around one
    tokenizer: PreTrainedTokenizerBase
    trainable: list[tuple[str, nn.Parameter]]
    notices: tuple[str, ...] = ()


def load_model(
    config: TrainConfig, tokenizer: PreTrainedTokenizerBase | None = None
) -> LoadedModel:
    """Load the model, its adapter and its tokenizer, on the device."""
    _check(config)
    device = pick_device()
    if device.type == "cpu":
        keep_freed_memory()
    tokenizer = tokenizer or load_tokenizer(config.model)
    hf_config = load_hf_config(config.model)
    dtype = _compute_dtype(config.model, hf_config)
    model: nn.Module = _base(config, hf_config, dtype, device)
    _check_trainable(model, config)
    notices = _notices(model, tokenizer, config, dtype)
    if config.peft is not None:
        model, said = with_adapter(causal_model(model), config.peft)
        notices += said
    causal = causal_model(model)
    fuse_norms(causal)
    trainable = _masters(model)
    if config.distributed.activation_checkpointing:
        _checkpoint_activations(causal)
    mixed = config.peft is None or bool(config.peft.modules_to_save)
    autocast = dtype if mixed and dtype != torch.float32 else None
    own = config.model.attn_implementation == "eager"
    plan = plan_forward(causal, autocast, own)
    if (plan.layout == "padded" and not own) or plan.head is None:
        notices.append(_slower(type(causal).__name__, plan))
    if config.compile:
        _compile(causal)
    shard(model, config.distributed)
    model.train()
    return LoadedModel(model, tokenizer, trainable, tuple(notices))


def shard(model: nn.Module, distributed: DistributedConfig) -> None:
    """Shard the weights over processes; not implemented: each process holds the whole model."""


def _check(config: TrainConfig) -> None:
    if config.quantization is not None and config.peft is None:
        raise TrainConfigError(
            "quantization: weights in 4 or 8 bits cannot be trained themselves; add a peft section"
        )
    if config.model.trust_remote_code and not config.allow_user_modules:
        raise TrainConfigError(
            "model.trust_remote_code: true runs code that comes with the model; where you trust "
            "it, add --allow-user-modules"
        )


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    source = config.tokenizer or config.pretrained_model_name_or_path
    return loading(
        source,
        "tokenizer",
        lambda: AutoTokenizer.from_pretrained(source, trust_remote_code=config.trust_remote_code),
    )


def load_hf_config(config: ModelConfig) -> PreTrainedConfig:
    source = config.pretrained_model_name_or_path
    return loading(
        source,
        "model config",
        lambda: AutoConfig.from_pretrained(
            source, trust_remote_code=config.trust_remote_code, **config.config
        ),
    )


def loading(source: str, what: str, load: Callable[[], Any]) -> Any:
    """Run a loader of transformers; turn its errors into one line that says what to do."""
    local = Path(source).expanduser()
    if not local.exists() and not _HUB_ID.fullmatch(source):
        raise ModelError(f"{source}: no such folder; give a local folder or a hub id")
    try:
        return load()
    except ImportError as error:
        raise ModelError(f"{source}: the {what} needs a package: {_line(error)}") from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise  # not the folder's fault, and answered elsewhere
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{source}: comes with code of its own; where you trust it, set "
                "model.trust_remote_code: true and add --allow-user-modules"
            ) from None
        if local.is_dir() and (list(local.glob("*.bin")) and not list(local.glob("*.safetensors"))):
            raise ModelError(
                f"{source}: weights only as pickles (*.bin), which can run code when read; "
                "convert them to safetensors first"
            ) from None
        raise ModelError(f"{source}: cannot load the {what}: {_line(error)}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _compute_dtype(config: ModelConfig, hf_config: PreTrainedConfig) -> torch.dtype:
    """Return the dtype of the computation; ``auto`` is the checkpoint's own."""
    if config.dtype != "auto":
        return getattr(torch, config.dtype)
    text = hf_config.get_text_config()
    dtype = getattr(hf_config, "dtype", None) or getattr(text, "dtype", None) or torch.float32
    return getattr(torch, dtype) if isinstance(dtype, str) else dtype


def _base(
    config: TrainConfig, hf_config: PreTrainedConfig, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    wanted = config.model
    options: dict[str, Any] = {
        "config": hf_config,
        "dtype": torch.float32 if config.peft is None else dtype,
        "trust_remote_code": wanted.trust_remote_code,
    }
    if wanted.attn_implementation == "eager":
        options["attn_implementation"] = "eager"
    source = wanted.pretrained_model_name_or_path
    if wanted.source == "from_config":
        model = loading(source, "model", lambda: AutoModelForCausalLM.from_config(**options))
        return model.to(device)
    options |= {"use_safetensors": True, "output_loading_info": True}
    if config.quantization is not None:
        options["quantization_config"] = quantization(config.quantization)
    options["device_map"] = {"": str(device)}
    model, info = loading(
        source, "model", lambda: AutoModelForCausalLM.from_pretrained(source, **options)
    )
    missing = sorted(info["missing_keys"]) + sorted(str(m[0]) for m in info["mismatched_keys"])
    if missing:
        raise ModelError(
            f"{source}: {len(missing)} weights of {type(model).__name__} are not in the files "
            f"({', '.join(missing[:_SHOWN])}...); they would start at random: check that this is "
            "a complete causal language model"
        )
    keep_trainable_layout(model)
    return model


def _check_trainable(model: nn.Module, config: TrainConfig) -> None:
    if config.peft is None and getattr(model, "hf_quantizer", None) is not None:
        raise TrainConfigError(
            f"{config.model.pretrained_model_name_or_path}: its weights are quantised and cannot "
            "be trained themselves; add a peft section"
        )


def _notices(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, config: TrainConfig, dtype: torch.dtype
) -> list[str]:
    notices = []
    asked = config.model.attn_implementation
    if asked not in (None, "sdpa", "eager"):
        notices.append(f"model.attn_implementation: {asked} is replaced by SDPA a document")
    if dtype == torch.float16:
        notices.append("model.torch_dtype: float16 trains without loss scaling; prefer bfloat16")
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        notices.append(
            f"the tokenizer has {len(tokenizer)} tokens, the model only {rows}: texts with the "
            "last ones cannot be trained"
        )
    return notices


def _masters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the trained parameters, in fp32."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for _, parameter in trainable:
        parameter.data = parameter.data.float()
    return trainable


def _checkpoint_activations(causal: PreTrainedModel) -> None:
    """Run layers again in the backward pass; not re-entrant, so frozen inputs cut no graph."""
    enable = getattr(causal, "activation_checkpointing_enable", None)
    try:
        if enable is None:  # before transformers 5.23
            causal.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            enable({"use_reentrant": False})
    except ValueError as error:
        raise ModelError(f"activation_checkpointing: {_line(error)}; set it to false") from None


def _compile(causal: PreTrainedModel) -> None:
    """Compile layer by layer: one small graph that all layers share."""
    _part_compiled_code_by_processor()
    layers = [m for m in causal.modules() if isinstance(m, nn.ModuleList)]
    for layer in max(layers, key=len, default=()):
        layer.compile(dynamic=True)


def _part_compiled_code_by_processor() -> None:
    """Separate torch's cache of compiled code by vector width, so that no code of another processor
    is taken.

    torch 2.13 keys compiled graphs by everything but the width: on a cache that another processor
    (or ATEN_CPU_CAPABILITY) filled, it builds loops of 16 numbers with vectors of 8. Half of each
    result is then memory nobody wrote: NaN, or gradients a little wrong.
    """
    settings = torch.compiler.config
    processor = f"cpu={torch.backends.cpu.get_cpu_capability()}"
    others = [t for t in settings.cache_key_tag.split() if not t.startswith("cpu=")]
    settings.cache_key_tag = " ".join([*others, processor])


def _slower(name: str, plan: ForwardPlan) -> str:
    what = ["documents are padded"] if plan.layout == "padded" else []
    what += ["the model makes its own logits"] if plan.head is None else []
    return f"{name}: {' and '.join(what)}; the faster way gives other numbers on this architecture"
