"""The Hugging Face family's name and default of each key, and its place in a file.

The first native name of a key is that of TrainingArguments; the others are those of LLaMA-Factory,
axolotl and TRL. A key is written in the place and under the name that the file has.
"""

from __future__ import annotations

from collections.abc import Mapping

from advisor.base.numbers import finite
from advisor.dialects.front_ends import front_end
from advisor.dialects.keys import KINDS
from advisor.dialects.tree import dig, has

_SECTIONS = (
    "", "training_args", "training_arguments", "training", "train", "trainer", "TrainingArguments",
    "peft_config", "peft_config.default", "lora_config", "LoraConfig", "lora", "peft",
    "args", "hparams", "config", "quantization_config", "bnb_config", "quantization", "model",
    "data", "dataset", "optimizer",
)  # fmt: skip
_TABLE = {
    "optimizer._target_": "optim optimizer",
    "optimizer.lr": "learning_rate",
    "optimizer.weight_decay": "weight_decay",
    "optimizer.eps": "adam_epsilon",
    "lr_scheduler.lr_decay_style": "lr_scheduler_type lr_scheduler",
    "lr_scheduler.lr_warmup_steps": "warmup_steps",
    "lr_scheduler.lr_warmup_ratio": "warmup_ratio",
    "lr_scheduler.min_lr": "lr_scheduler_kwargs.min_lr",
    "step_scheduler.global_batch_size": "gradient_accumulation_steps",
    "step_scheduler.local_batch_size": "per_device_train_batch_size micro_batch_size",
    "step_scheduler.grad_acc_steps": "gradient_accumulation_steps",
    "step_scheduler.num_epochs": "num_train_epochs num_epochs",
    "step_scheduler.max_steps": "max_steps",
    "step_scheduler.ckpt_every_steps": "save_steps",
    "step_scheduler.val_every_steps": "eval_steps",
    "clip_grad_norm.max_norm": "max_grad_norm",
    "peft.dim": "r lora_r lora_rank",
    "peft.alpha": "lora_alpha",
    "peft.dropout": "lora_dropout",
    "peft.target_modules": "target_modules lora_target_modules lora_target",
    "peft.exclude_modules": "exclude_modules",
    "peft.use_dora": "use_dora peft_use_dora",
    "peft.use_rslora": "use_rslora peft_use_rslora",
    "peft.modules_to_save": "modules_to_save lora_modules_to_save additional_target",
    "quantization.load_in_4bit": "load_in_4bit",
    "quantization.load_in_8bit": "load_in_8bit",
    "quantization.bnb_4bit_quant_type": "bnb_4bit_quant_type quantization_type",
    "quantization.bnb_4bit_compute_dtype": "bnb_4bit_compute_dtype",
    "quantization.bnb_4bit_use_double_quant":
        "bnb_4bit_use_double_quant double_quantization use_bnb_nested_quant",
    "model.pretrained_model_name_or_path":
        "model_name_or_path base_model model_name _name_or_path base_model_name_or_path",
    "model.torch_dtype": "torch_dtype dtype",
    "model.attn_implementation": "attn_implementation flash_attn attn_impl",
    "model.vocab_size": "vocab_size",
    "model.transformers_version": "transformers_version",
    "dataset.path_or_dataset_id": "dataset_name dataset_path",
    "dataset.seq_length": "max_length max_seq_length cutoff_len sequence_len",
    "dataset.limit_dataset_samples": "max_samples",
    "dataloader.num_workers": "dataloader_num_workers",
    "dataloader.group_by_length": "group_by_length",
    "validation_dataloader.batch_size": "per_device_eval_batch_size eval_batch_size",
    "checkpoint.checkpoint_dir": "output_dir",
    "checkpoint.load_best": "load_best_model_at_end",
    "distributed_config.activation_checkpointing": "gradient_checkpointing",
    "distributed_config.use_reentrant":
        "gradient_checkpointing_kwargs.use_reentrant use_reentrant_gc",
    "tokenizer.add_eos": "add_eos_token",
    "tokenizer.added_tokens": "new_special_tokens add_tokens added_tokens tokens",
    "rng.seed": "seed",
    "data.parallel": "world_size",
    "logging.nan_inf_filter": "logging_nan_inf_filter",
    "logging.every_steps": "logging_steps",
    "validation.accumulation_steps": "eval_accumulation_steps",
    "validation.strategy": "eval_strategy evaluation_strategy",
    "method": "finetuning_type adapter train_type tuner_type sft_type",
    "precision.amp": "bf16",
}  # fmt: skip
KEYS: dict[str, tuple[str, ...]] = {key: tuple(_TABLE.get(key, "").split()) for key in KINDS}
DEFAULTS: dict[str, object] = {
    "optimizer._target_": "torch.optim.AdamW",
    "optimizer.lr": 5e-5,
    "optimizer.weight_decay": 0.0,
    "optimizer.betas": [0.9, 0.999],
    "optimizer.eps": 1e-8,
    "lr_scheduler.lr_decay_style": "linear",
    "lr_scheduler.lr_warmup_steps": 0,
    "step_scheduler.local_batch_size": 8,
    "step_scheduler.grad_acc_steps": 1,
    "step_scheduler.num_epochs": 3,
    "step_scheduler.ckpt_every_steps": 500,
    "clip_grad_norm.max_norm": 1.0,
    "peft.dim": 8,
    "peft.alpha": 8,
    "peft.dropout": 0.0,
    "peft.use_dora": False,
    "peft.use_rslora": False,
    "dataloader.shuffle": True,
    "dataloader.num_workers": 0,
    "dataloader.group_by_length": False,
    "validation_dataloader.batch_size": 8,
    "checkpoint.load_best": False,
    "distributed_config.activation_checkpointing": False,
    "rng.seed": 42,
    "precision.amp": "no",
    "logging.nan_inf_filter": True,
    "logging.every_steps": 500,
    "validation.strategy": "no",
}
# Names that only Hugging Face's arguments have, and names that other trainers share.
OWN = (
    "per_device_train_batch_size", "per_device_eval_batch_size", "num_train_epochs",
    "lr_scheduler_type", "evaluation_strategy", "eval_strategy", "save_total_limit",
    "load_best_model_at_end", "logging_nan_inf_filter", "eval_accumulation_steps",
    "dataloader_num_workers", "remove_unused_columns",
)  # fmt: skip
SHARED = (
    "learning_rate", "output_dir", "logging_steps", "save_steps", "eval_steps", "max_steps",
    "warmup_ratio", "warmup_steps", "max_grad_norm", "gradient_accumulation_steps", "optim",
    "gradient_checkpointing", "adam_epsilon", "adam_beta1", "weight_decay", "report_to", "bf16",
    "fp16", "lora_alpha", "lora_r", "model_name_or_path", "logging_strategy", "save_strategy",
)  # fmt: skip
ENOUGH = 99
_LESS = {"num_train_epochs", "lr_scheduler_type"}  # scripts without the Trainer use them too
ROOTS = {"adam_beta1", "adam_beta2", "fp16", "quantization_bit", "lora_target_linear", "peft_type"}
ROOTS |= {section.split(".")[0] for section in _SECTIONS} | {*OWN, *SHARED}
_PACED = {
    "step_scheduler.val_every_steps": "evals_per_epoch",
    "step_scheduler.ckpt_every_steps": "saves_per_epoch",
}
_NOT_ARGUMENTS = ("peft.", "quantization.", "model.", "dataset.", "method", "data.")


def home(tree: Mapping[str, object]) -> str | None:
    """Return the section of a tree that holds the arguments ('' is the top), None if there is
    none."""
    if _holds_arguments(tree):
        return ""
    sections = (name for name, part in tree.items() if _holds_arguments(part))
    return next(sections, None)


def _holds_arguments(part: object) -> bool:
    if not isinstance(part, Mapping):
        return False
    own, shared = (sum(name in part for name in names) for names in (OWN, SHARED))
    return own >= 1 and own + shared >= 2


def takes_more(tree: Mapping[str, object]) -> bool:
    """Return whether a file clearly holds Hugging Face's arguments, so that a new one would be
    read."""
    section = home(tree)
    part = dig(tree, section) if section else tree
    if section is None or not isinstance(part, Mapping):
        return True  # from a front end, or named by the user
    held = {name for name in (*OWN, *SHARED) if name in part}
    own = held & {*OWN}
    return bool(own - _LESS) or len(own) > 1 or len(held) > 3


def find(tree: Mapping[str, object], name: str) -> str:
    """Return the path at which the tree holds a native name, or ''."""
    for section in _SECTIONS:
        path = f"{section}.{name}" if section else name
        if has(tree, path):
            return path
    if "_" not in name.strip("_"):
        return ""  # 'r' and 'seed' mean other things in other sections
    section = home(tree) or ""
    return f"{section}.{name}" if section and has(tree, f"{section}.{name}") else ""


def native_path(key: str, tree: Mapping[str, object]) -> str:
    """Return the path at which the tree holds, or would hold, a canonical key; '' if nowhere."""
    front = front_end(tree)
    if key == "lr_scheduler.lr_warmup_steps" and warmup_share(tree):
        return find(tree, "warmup_ratio")
    if key == "lr_scheduler.lr_warmup_ratio" and _positive(tree, "warmup_steps"):
        return ""  # the steps decide: the ratio has no effect
    if key in _PACED and front and find(tree, _PACED[key]):
        return ""  # axolotl accepts only one of the two
    if key == "peft.match_all_linear":
        if front and key in front.names:
            return _section_of_kin(key, tree) + front.names[key]
        key = "peft.target_modules"
    if key == "optimizer.betas":
        return native_path("optimizer.eps", tree).replace("epsilon", "beta1")
    names = KEYS.get(key, ())
    if not names:
        return ""
    if key == "precision.amp" and find(tree, "fp16") and not find(tree, "bf16"):
        names = ("fp16",)
    for name in names:
        path = find(tree, name)
        if path:
            return path
    if front:
        own = front.names.get(key, names[0])
        return _section_of_kin(key, tree) + own if front.reads(key) else ""
    if tree and key.startswith(_NOT_ARGUMENTS) and not _has_kin(key, tree):
        return ""  # TrainingArguments rejects unknown names
    if tree and not takes_more(tree):
        return ""  # the script may not read more than the file holds
    return _section_of_kin(key, tree) + names[0]


def warmup_share(tree: Mapping[str, object]) -> float:
    """Return the warm-up ratio of a file if it decides; 0 where steps decide or nothing is set."""
    return 0.0 if _positive(tree, "warmup_steps") else _positive(tree, "warmup_ratio")


def _positive(tree: Mapping[str, object], name: str) -> float:
    value = finite(dig(tree, find(tree, name) or name))
    return value if value is not None and value > 0 else 0.0


def _has_kin(key: str, tree: Mapping[str, object]) -> bool:
    """Return whether the file holds another key of the same section."""
    start = key.split(".")[0] + "."
    kin = (names for other, names in KEYS.items() if other.startswith(start))
    return any(find(tree, name) for names in kin for name in names)


def _section_of_kin(key: str, tree: Mapping[str, object]) -> str:
    """Return the section (with its dot) that holds keys of the same kind in this file."""
    if key.startswith("peft."):
        for mark in ("r", "lora_alpha", "lora_r", "lora_rank"):
            path = find(tree, mark)
            if path:
                return path[: len(path) - len(mark)]
        return ""
    section = home(tree)
    return f"{section}." if section else ""
