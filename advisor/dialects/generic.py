"""Hyper-parameter records of unknown trainers: read for their values, never written."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.base.numbers import finite
from advisor.dialects import tree as trees
from advisor.dialects.keys import coerce

NAME = ""
_TABLE = {
    # a warm-up schedule of DeepSpeed sets the rate, whatever its optimizer section says
    "optimizer.lr": ("warmup_max_lr", "lr", "learning_rate", "base_lr", "max_lr", "unet_lr"),
    "optimizer.weight_decay": ("weight_decay", "wd"),
    "step_scheduler.num_epochs": (
        "num_epochs", "max_epochs", "epochs", "n_epochs", "num_train_epochs", "max_train_epochs",
    ),
    "step_scheduler.max_steps": (
        "max_steps", "max_iters", "iters", "train_iters", "max_train_steps",
    ),
    "step_scheduler.global_batch_size": ("global_batch_size", "total_batch_size", "batch_size"),
    "lr_scheduler.lr_warmup_steps": (
        "warmup_steps", "warmup_iters", "num_warmup_steps", "lr_warmup_steps", "warmup_num_steps",
    ),
    "lr_scheduler.lr_warmup_ratio": ("warmup_ratio",),
    "lr_scheduler.min_lr": ("min_lr",),
    "clip_grad_norm.max_norm": (
        "max_grad_norm", "grad_clip", "gradient_clip_val", "clip_norm", "gradient_clipping",
    ),
    "peft.dim": ("lora_rank", "lora_r"),
    "peft.alpha": ("lora_alpha",),
    "peft.dropout": ("lora_dropout",),
    "packed_sequence.packed_sequence_size": ("packed_length",),
    "rng.seed": ("seed",),
}  # fmt: skip
KEYS = _TABLE
# Keys of gradient accumulation; beside them, `batch_size` is that of a micro-batch.
_PARTS = (
    "gradient_accumulation_steps", "accumulate_grad_batches", "grad_accum", "micro_batch_size",
    "gradient_accumulation",
)  # fmt: skip


def sniff(tree: Mapping[str, object]) -> bool:
    """Return whether a tree looks like hyper-parameters: a learning rate and at least one more."""
    values = read(tree)
    return "optimizer.lr" in values and len(values) >= 2


def read(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the values found under common names, at most three sections deep."""
    leaves = _leaves(tree, 3)
    values: dict[str, object] = {}
    if trees.dig(tree, "scheduler.type") in ("WarmupLR", "WarmupDecayLR"):  # DeepSpeed's
        leaves.setdefault("warmup_max_lr", 1e-3)
    if any(name in leaves for name in _PARTS):
        leaves.pop("batch_size", None)
    for key, names in _TABLE.items():
        found = (leaves[name] for name in names if _is_number(leaves.get(name)))
        value = next(found, None)
        if value is not None:
            values[key] = coerce(key, value)
    if (finite(values.get("step_scheduler.max_steps")) or 0) <= 0:
        values.pop("step_scheduler.max_steps", None)  # -1 is 'not set'
    if values.get("peft.dim"):
        values["method"] = "lora"
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _leaves(tree: Mapping[str, object], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            if depth > 1:
                found = {**_leaves(value, depth - 1), **found}
        else:
            found[name] = value
    return found
