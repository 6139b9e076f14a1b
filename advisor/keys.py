"""The canonical config keys: the guide's own, and ours where it has none."""

from __future__ import annotations

_SECTIONS: dict[str, str] = {
    "optimizer": "_target_ lr weight_decay betas eps",
    "lr_scheduler": "lr_decay_style lr_warmup_steps lr_warmup_ratio lr_decay_steps min_lr init_lr",
    "step_scheduler": "global_batch_size local_batch_size num_epochs max_steps ckpt_every_steps "
    "val_every_steps grad_acc_steps",
    "clip_grad_norm": "max_norm",
    "peft": "dim alpha dropout target_modules exclude_modules match_all_linear use_dora use_rslora "
    "use_triton modules_to_save",
    "quantization": "load_in_4bit load_in_8bit bnb_4bit_quant_type bnb_4bit_compute_dtype "
    "bnb_4bit_use_double_quant",
    "packed_sequence": "packed_sequence_size",
    "model": "pretrained_model_name_or_path torch_dtype attn_implementation is_meta_device",
    "dataset": "path_or_dataset_id split seq_length limit_dataset_samples",
    "validation_dataset": "path_or_dataset_id split seq_length limit_dataset_samples",
    "dataloader": "shuffle num_workers group_by_length",
    "validation_dataloader": "shuffle num_workers",
    "checkpoint": "enabled checkpoint_dir",
    "distributed_config": "activation_checkpointing",
    "rng": "seed",
    "data": "samples parallel",
    "precision": "amp",
    "logging": "nan_inf_filter every_steps",
    "validation": "accumulation_steps strategy",
    "tokenizer": "pad_is_eos",
}

CANONICAL_KEYS: frozenset[str] = frozenset(
    {"method"} | {f"{section}.{key}" for section, keys in _SECTIONS.items() for key in keys.split()}
)
SECTIONS: frozenset[str] = frozenset(_SECTIONS) | {"method"}
