"""LoRA and DoRA adapters: which layers they sit on, how they start; peft holds them."""

from __future__ import annotations

import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from train.config.types import PeftConfig
from train.errors import TrainConfigError
from train.model.lora import fuse
from train.model.patterns import any_matches, matches

ALL_LINEAR = ("all-linear", "all_linear")
INITS = ("xavier", "kaiming", "uniform")


def with_adapter(model: PreTrainedModel, config: PeftConfig) -> tuple[PeftModel, list[str]]:
    """Return the model with its adapter, everything else frozen; and what a user should know."""
    if config.lora_A_init not in INITS:
        raise TrainConfigError(
            f"peft.lora_A_init is {config.lora_A_init!r}: choose xavier or kaiming"
        )
    names = target_names(model, config)
    conv = any(isinstance(model.get_submodule(name), Conv1D) for name in names)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.dim,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=_shortest(names, model),
        use_dora=config.use_dora,
        use_rslora=config.use_rslora,
        modules_to_save=_modules_to_save(model, config),
        fan_in_fan_out=conv,
    )
    with warnings.catch_warnings():  # peft asks transformers by a name that has grown old
        warnings.simplefilter("ignore", FutureWarning)
        peft_model = get_peft_model(model, lora)
    if config.lora_A_init == "xavier":
        _xavier(peft_model)
    fused = fuse(peft_model, config.dropout_position)
    notices = []
    if config.use_triton:
        notices.append("peft.use_triton: no Triton kernel here, LoRA takes the torch path")
    if fused < len(names) and config.dropout and config.dropout_position == "post":
        notices.append(
            "peft.dropout_position: post is not to be had with DoRA or 8 bits; the adapter's "
            "input is dropped instead (pre)"
        )
    return peft_model, notices


def target_names(model: PreTrainedModel, config: PeftConfig) -> list[str]:
    """Return the full names of the linear layers that get an adapter.

    No pattern at all means every linear layer. The output head only where a pattern names it.
    """
    linear = linear_names(model)
    head = _head_name(model)
    wanted = tuple(p for p in config.target_modules if p not in ALL_LINEAR)
    for pattern in wanted:
        if not any(matches(pattern, name) for name in linear):
            raise TrainConfigError(
                f"peft.target_modules: {pattern!r} matches no linear layer of "
                f"{type(model).__name__}; there are: {_kinds(linear)}"
            )
    everything = config.match_all_linear or not wanted
    last = (head or "").rpartition(".")[2]
    chosen = [
        name
        for name in linear
        if not any_matches(config.exclude_modules, name)
        and (
            any(last in pattern and matches(pattern, name) for pattern in wanted)
            if name == head
            else everything or any_matches(wanted, name)
        )
    ]
    if not chosen:
        raise TrainConfigError(
            "peft: no layer is left for an adapter; target_modules "
            f"{list(config.target_modules)} less exclude_modules {list(config.exclude_modules)}; "
            f"there are: {_kinds(linear)}"
        )
    return chosen


def linear_names(model: nn.Module) -> list[str]:
    """Return every layer that can carry an adapter, quantised ones included."""
    return [name for name, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D))]


def _head_name(model: PreTrainedModel) -> str | None:
    head = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), None)


def _kinds(names: list[str]) -> str:
    """Return the last parts of the names, each once: q_proj, k_proj, ..."""
    return ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names))


def _shortest(names: list[str], model: nn.Module) -> list[str]:
    """Return the last parts where they mean the same layers: servers look at those."""
    short = {name.rpartition(".")[2] for name in names}
    meant = {name for name in linear_names(model) if name.rpartition(".")[2] in short}
    return sorted(short) if meant == set(names) else names


def _modules_to_save(model: PreTrainedModel, config: PeftConfig) -> list[str] | None:
    modules = [name for name, _ in model.named_modules()]
    for wanted in config.modules_to_save:
        if not any(matches(wanted, name) for name in modules):
            raise TrainConfigError(
                f"peft.modules_to_save: {wanted!r} is no module of {type(model).__name__}; "
                "usual ones are embed_tokens and lm_head"
            )
    return list(config.modules_to_save) or None


def _xavier(model: nn.Module) -> None:
    """Initialise as AutoModel does: normal, by fan in and fan out; peft's own start is kaiming
    uniform."""
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            with torch.no_grad():
                nn.init.xavier_normal_(parameter)
