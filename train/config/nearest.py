"""Unknown keys are refused, and the error names the key that was probably meant."""

from __future__ import annotations

import dataclasses
from difflib import get_close_matches
from functools import cache

from train.config import types
from train.errors import TrainConfigError

_SECTIONS: dict[str, tuple[type, ...]] = {
    "model": (types.ModelConfig,),
    "dataset": (types.DatasetConfig,),
    "validation_dataset": (types.DatasetConfig,),
    "step_scheduler": (types.StepConfig,),
    "optimizer": (types.OptimizerConfig,),
    "lr_scheduler": (types.ScheduleConfig,),
    "peft": (types.PeftConfig,),
    "quantization": (types.QuantConfig,),
    "packed_sequence": (types.PackingConfig,),
    "dataloader": (types.LoaderConfig,),
    "validation_dataloader": (types.LoaderConfig,),
    "checkpoint": (types.CheckpointConfig,),
    "distributed": (types.DistributedConfig,),
    "distributed_config": (types.DistributedConfig,),
    "safety": (types.SafetyConfig,),
    "advisor": (types.AdvisorConfig,),
}
_MORE = {
    "model": ("_target_", "torch_dtype"),
    "dataset": ("_target_", "path_or_dataset_id", "limit", "dataset_name"),
    "validation_dataset": ("_target_", "path_or_dataset_id", "limit", "dataset_name"),
    "optimizer": ("_target_", "betas", "eps", "weight_decay", "momentum", "amsgrad"),
    "clip_grad_norm": ("max_norm",),
    "loss_fn": ("_target_",),
    "rng": ("seed", "ranked"),
    "dist_env": ("backend", "timeout_minutes"),
    "compile": ("enabled",),
    "wandb": ("project", "entity", "name", "group", "save_dir", "mode", "tags"),
    "mlflow": ("experiment_name", "run_name", "tracking_uri", "tags"),
    "tensorboard": ("log_dir",),
}
_HIDDEN = {"kind", "source", "target", "options", "name@optimizer"}
TOP = ("seed", "validation_split")
# What other trainers call it, or what somebody would guess.
_OTHER_NAMES = {
    "learning_rate": "optimizer.lr",
    "lora_r": "peft.dim",
    "lora_alpha": "peft.alpha",
    "lora_dropout": "peft.dropout",
    "r": "peft.dim",
    "rank": "peft.dim",
    "num_train_epochs": "step_scheduler.num_epochs",
    "epochs": "step_scheduler.num_epochs",
    "per_device_train_batch_size": "step_scheduler.local_batch_size",
    "batch_size": "step_scheduler.local_batch_size",
    "gradient_accumulation_steps": "step_scheduler.global_batch_size",
    "max_grad_norm": "clip_grad_norm.max_norm",
    "warmup_steps": "lr_scheduler.lr_warmup_steps",
    "output_dir": "checkpoint.checkpoint_dir",
    "save_steps": "step_scheduler.ckpt_every_steps",
    "eval_steps": "step_scheduler.val_every_steps",
    "max_seq_length": "dataset.seq_length",
    "max_length": "dataset.seq_length",
    "model_name_or_path": "model.pretrained_model_name_or_path",
    "gradient_checkpointing": "distributed.activation_checkpointing",
    "packing": "packed_sequence.packed_sequence_size",
    "on_findings": "advisor.on_finding",
}


@cache
def known_keys() -> tuple[str, ...]:
    """Return every key of the config language as a dotted path."""
    sections = sorted({*_SECTIONS, *_MORE})
    keys = [f"{name}.{key}" for name in sections for key in _keys_of(name)]
    return (*sections, *TOP, *keys)


def _keys_of(section: str) -> list[str]:
    found = list(_MORE.get(section, ()))
    for kind in _SECTIONS.get(section, ()):
        names = [each.name for each in dataclasses.fields(kind)]
        found += [n for n in names if n not in _HIDDEN and f"{n}@{section}" not in _HIDDEN]
    return found


def unknown_key(place: str, path: str, key: str) -> TrainConfigError:
    """Return the error for a key that the config language does not have."""
    full = f"{path}.{key}" if path else key
    near = nearest(full)
    hint = f"; did you mean {near}?" if near else ""
    return TrainConfigError(f"{place}: unknown key {full}{hint}")


def nearest(full: str) -> str | None:
    """Return the known key that is nearest to a dotted path."""
    key = full.rpartition(".")[2]
    if key in _OTHER_NAMES:
        return _OTHER_NAMES[key]
    section = full.rpartition(".")[0]
    elsewhere = [name for name in known_keys() if name.rpartition(".")[2] == key]
    siblings = [name for name in known_keys() if name.rpartition(".")[0] == section]
    close = get_close_matches(full, siblings, 1, 0.75) if siblings else []
    found = elsewhere or close or get_close_matches(full, known_keys(), 1, 0.6)
    return found[0] if found else None
