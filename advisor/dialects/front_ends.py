"""Front ends of Hugging Face's Trainer: the marks of their files, and their names of keys.

``names`` holds a front end's name for a key that its file does not hold yet; ``unread`` holds the
keys (or prefixes) that it does not read, which are never added to its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from advisor.dialects.marks import bears


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """One front end. ``marks``: see the module marks.py."""

    name: str
    marks: tuple[str, ...]
    names: Mapping[str, str]
    unread: tuple[str, ...] = ()

    def reads(self, key: str) -> bool:
        return key in self.names or not key.startswith(self.unread)


FRONT_ENDS = (
    FrontEnd(
        "LLaMA-Factory",
        ("finetuning_type", "cutoff_len template", "lora_rank lora_target", "stage dataset_dir"),
        {
            "peft.dim": "lora_rank", "peft.target_modules": "lora_target",
            "peft.modules_to_save": "additional_target", "dataset.seq_length": "cutoff_len",
            "model.attn_implementation": "flash_attn", "tokenizer.added_tokens": "add_tokens",
            "quantization.bnb_4bit_use_double_quant": "double_quantization",
            "quantization.bnb_4bit_quant_type": "quantization_type",
            "distributed_config.use_reentrant": "use_reentrant_gc",
        },
        (
            "quantization.", "model.torch_dtype", "peft.exclude_modules", "tokenizer.", "data.",
            "dataset.path", "distributed_config.", "model.vocab_size", "model.transformers_version",
        ),
    ),
    FrontEnd(
        "axolotl",
        (
            "base_model micro_batch_size", "base_model sequence_len", "adapter micro_batch_size",
            "base_model datasets num_epochs",
        ),
        {
            "step_scheduler.num_epochs": "num_epochs", "optimizer._target_": "optimizer",
            "step_scheduler.local_batch_size": "micro_batch_size",
            "lr_scheduler.lr_decay_style": "lr_scheduler", "dataset.seq_length": "sequence_len",
            "peft.dim": "lora_r", "peft.target_modules": "lora_target_modules",
            "peft.match_all_linear": "lora_target_linear", "peft.use_dora": "peft_use_dora",
            "peft.use_rslora": "peft_use_rslora", "peft.modules_to_save": "lora_modules_to_save",
            "tokenizer.added_tokens": "tokens",
            "quantization.load_in_4bit": "load_in_4bit",
            "quantization.load_in_8bit": "load_in_8bit",
            "validation_dataloader.batch_size": "eval_batch_size",
        },
        (
            "quantization.", "logging.nan_inf_filter", "validation.accumulation_steps", "data.",
            "dataset.", "model.", "peft.exclude_modules", "lr_scheduler.min_lr", "tokenizer.",
        ),
    ),
    FrontEnd(
        "ms-swift",
        (
            "train_type learning_rate num_train_epochs", "train_type per_device_train_batch_size",
            "train_type lora_rank", "tuner_type learning_rate", "sft_type learning_rate",
            "lora_rank target_modules torch_dtype", "swift_version",
        ),
        {
            "peft.dim": "lora_rank", "peft.target_modules": "target_modules",
            "model.attn_implementation": "attn_impl", "dataset.seq_length": "max_length",
            "tokenizer.added_tokens": "new_special_tokens",
        },
        (
            "quantization.", "peft.exclude_modules", "tokenizer.", "data.", "dataset.",
            "model.vocab_size", "model.transformers_version",
        ),
    ),
    FrontEnd(
        "TRL",
        (
            "use_peft model_name_or_path", "use_peft num_train_epochs", "dataset_train_split",
            "lora_r per_device_train_batch_size", "lora_r num_train_epochs", "dataset_mixer",
            "lora_r lr_scheduler_type", "lora_r eval_strategy",
        ),
        {
            "peft.dim": "lora_r", "peft.target_modules": "lora_target_modules",
            "peft.modules_to_save": "lora_modules_to_save", "dataset.seq_length": "max_length",
            "quantization.bnb_4bit_use_double_quant": "use_bnb_nested_quant",
        },
        (
            "quantization.bnb_4bit_compute", "peft.exclude_modules", "tokenizer.", "data.",
            "dataset.limit", "model.vocab_size", "model.transformers_version",
        ),
    ),
)  # fmt: skip


def front_end(tree: Mapping[str, object]) -> FrontEnd | None:
    """Return the front end whose marks a tree has; None for plain TrainingArguments."""
    return next((each for each in FRONT_ENDS if bears(tree, each.marks)), None)
