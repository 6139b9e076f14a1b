"""The canonical keys and the kind of value that each holds, shared by all dialects."""

from __future__ import annotations

from typing import Literal

from advisor.dialects.tree import cast

Kind = Literal["float", "int", "bool", "str", "list"]
LARGEST = 10**15

KINDS: dict[str, Kind] = {
    "method": "str",  # full | lora | dora | qlora
    "optimizer._target_": "str",
    "optimizer.lr": "float",
    "optimizer.weight_decay": "float",
    "optimizer.betas": "list",
    "optimizer.eps": "float",
    "lr_scheduler.lr_decay_style": "str",
    "lr_scheduler.lr_warmup_steps": "int",
    "lr_scheduler.lr_warmup_ratio": "float",
    "lr_scheduler.lr_decay_steps": "int",
    "lr_scheduler.min_lr": "float",
    "lr_scheduler.init_lr": "float",
    "step_scheduler.global_batch_size": "int",
    "step_scheduler.local_batch_size": "int",
    "step_scheduler.grad_acc_steps": "int",
    "step_scheduler.num_epochs": "int",
    "step_scheduler.max_steps": "int",
    "step_scheduler.ckpt_every_steps": "int",
    "step_scheduler.val_every_steps": "int",
    "clip_grad_norm.max_norm": "float",
    "peft.dim": "int",
    "peft.alpha": "int",
    "peft.dropout": "float",
    "peft.target_modules": "list",
    "peft.exclude_modules": "list",
    "peft.match_all_linear": "bool",
    "peft.use_dora": "bool",
    "peft.use_rslora": "bool",
    "peft.use_triton": "bool",
    "peft.modules_to_save": "list",
    "quantization.load_in_4bit": "bool",
    "quantization.load_in_8bit": "bool",
    "quantization.bnb_4bit_quant_type": "str",
    "quantization.bnb_4bit_compute_dtype": "str",
    "quantization.bnb_4bit_use_double_quant": "bool",
    "packed_sequence.packed_sequence_size": "int",
    "model.pretrained_model_name_or_path": "str",
    "model.torch_dtype": "str",
    "model.attn_implementation": "str",
    "model.is_meta_device": "bool",
    "model.vocab_size": "int",
    "model.transformers_version": "str",
    "dataset.path_or_dataset_id": "str",
    "dataset.split": "str",
    "dataset.seq_length": "int",
    "dataset.limit_dataset_samples": "int",
    "validation_dataset.path_or_dataset_id": "str",
    "validation_dataset.split": "str",
    "validation_dataset.seq_length": "int",
    "validation_dataset.limit_dataset_samples": "int",
    "dataloader.shuffle": "bool",
    "dataloader.num_workers": "int",
    "dataloader.group_by_length": "bool",
    "validation_dataloader.batch_size": "int",
    "checkpoint.enabled": "bool",
    "checkpoint.checkpoint_dir": "str",
    "checkpoint.load_best": "bool",
    "distributed_config.activation_checkpointing": "bool",
    "distributed_config.use_reentrant": "bool",
    "rng.seed": "int",
    "data.samples": "int",
    "data.parallel": "int",
    "precision.amp": "str",  # fp16 | bf16 | no
    "logging.nan_inf_filter": "bool",
    "logging.every_steps": "int",
    "validation.accumulation_steps": "int",
    "validation.strategy": "str",
    "tokenizer.pad_is_eos": "bool",
    "tokenizer.add_eos": "bool",
    "tokenizer.added_tokens": "list",
}


def coerce(key: str, value: object) -> object:
    """Return ``value`` converted to the kind of ``key`` if nothing is lost, else unchanged."""
    kind = KINDS.get(key)
    if isinstance(value, str) and kind in ("float", "int"):
        number = cast(value)  # a number as text, such as "2e-4" in JSON
        value = number if isinstance(number, (int, float)) else value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) > LARGEST:
        return str(value)  # invalid: kept as text, so that nothing computes with it
    if kind == "float" and isinstance(value, int):
        return float(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "list" and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


CANONICAL_KEYS: frozenset[str] = frozenset(KINDS)
SECTIONS: frozenset[str] = frozenset(key.split(".")[0] for key in KINDS)
