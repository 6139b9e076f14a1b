"""Config keys in common words, for runs of trainers whose names we do not know."""

from __future__ import annotations

import re

from advisor.base.numbers import is_number, number
from advisor.base.redact import redact_value
from advisor.dialects import dialect_of, generic, transformers
from advisor.dialects.keys import KINDS
from advisor.findings import Edit
from advisor.run import Run

WORDS = {
    "method": "fine-tuning method",
    "optimizer._target_": "optimizer",
    "optimizer.lr": "learning rate",
    "optimizer.weight_decay": "weight decay",
    "optimizer.betas": "Adam betas",
    "optimizer.eps": "Adam epsilon",
    "lr_scheduler": "learning rate schedule",
    "lr_scheduler.lr_decay_style": "learning rate schedule",
    "lr_scheduler.lr_warmup_steps": "number of warmup steps",
    "lr_scheduler.lr_warmup_ratio": "warmup ratio",
    "lr_scheduler.lr_decay_steps": "number of decay steps",
    "lr_scheduler.min_lr": "lowest learning rate of the schedule",
    "lr_scheduler.init_lr": "first learning rate of the warmup",
    "step_scheduler.global_batch_size": "global batch size",
    "step_scheduler.local_batch_size": "batch size of a device",
    "step_scheduler.grad_acc_steps": "number of gradient accumulation steps",
    "step_scheduler.num_epochs": "number of epochs",
    "step_scheduler.max_steps": "number of steps",
    "step_scheduler.ckpt_every_steps": "number of steps between checkpoints",
    "step_scheduler.val_every_steps": "number of steps between evaluations",
    "clip_grad_norm.max_norm": "gradient clipping norm",
    "peft": "adapter",
    "peft.dim": "LoRA rank",
    "peft.alpha": "LoRA alpha",
    "peft.dropout": "LoRA dropout",
    "peft.target_modules": "LoRA target modules",
    "peft.exclude_modules": "modules without LoRA",
    "peft.match_all_linear": "LoRA on all linear layers",
    "peft.use_dora": "DoRA",
    "peft.use_rslora": "rank-stabilised LoRA",
    "peft.use_triton": "fused LoRA kernels",
    "peft.modules_to_save": "fully trained modules",
    "quantization.load_in_4bit": "4-bit quantisation",
    "quantization.load_in_8bit": "8-bit quantisation",
    "quantization.bnb_4bit_quant_type": "4-bit quantisation type",
    "quantization.bnb_4bit_compute_dtype": "compute type of the 4-bit layers",
    "quantization.bnb_4bit_use_double_quant": "double quantisation",
    "packed_sequence.packed_sequence_size": "length of a packed sequence",
    "model.pretrained_model_name_or_path": "base model",
    "model.torch_dtype": "data type of the weights",
    "model.attn_implementation": "attention implementation",
    "model.is_meta_device": "loading on the meta device",
    "model.vocab_size": "vocabulary size",
    "model.transformers_version": "transformers version",
    "dataset": "training data",
    "dataset.path_or_dataset_id": "training data",
    "dataset.split": "split of the training data",
    "dataset.seq_length": "sequence length",
    "dataset.limit_dataset_samples": "number of training samples",
    "validation_dataset": "validation data",
    "validation_dataset.path_or_dataset_id": "validation data",
    "validation_dataset.split": "split of the validation data",
    "validation_dataset.seq_length": "sequence length of the validation",
    "validation_dataset.limit_dataset_samples": "number of validation samples",
    "dataloader.shuffle": "shuffling",
    "dataloader.num_workers": "number of data loader workers",
    "dataloader.group_by_length": "grouping of samples by length",
    "validation_dataloader.batch_size": "batch size of the evaluation",
    "checkpoint": "checkpointing",
    "checkpoint.enabled": "saving of checkpoints",
    "checkpoint.checkpoint_dir": "checkpoint folder",
    "checkpoint.load_best": "loading of the best checkpoint at the end",
    "distributed_config.activation_checkpointing": "gradient checkpointing",
    "distributed_config.use_reentrant": "reentrant gradient checkpointing",
    "rng.seed": "seed",
    "data.samples": "number of training samples",
    "data.parallel": "number of data-parallel devices",
    "precision.amp": "mixed precision",
    "logging.nan_inf_filter": "log filter for NaN and infinity",
    "logging.every_steps": "number of steps between log lines",
    "validation.accumulation_steps": "number of evaluation accumulation steps",
    "validation.strategy": "evaluation strategy",
    "tokenizer.pad_is_eos": "padding with the end-of-text token",
    "tokenizer.add_eos": "end-of-text token after each sample",
    "tokenizer.added_tokens": "added tokens",
}
# A key in a sentence; a section alone ('peft', 'dataset') is an English word as well.
_KEY = re.compile(
    r"(?<![\w.{])("
    + "|".join(re.escape(key) for key in sorted(WORDS, key=len, reverse=True) if "." in key)
    + r")(?![\w}]|\.\w)(?P<given>=)?"
)
# Keys whose native name means another quantity.
_OTHERWISE = (
    "step_scheduler.global_batch_size", "precision.amp", "peft.match_all_linear", "method",
)  # fmt: skip
_OURS = ("data.", "precision.", "method")  # the guide's trainer has no such keys
_OF_FORMAT = {
    "transformers": "transformers",
    "llamafactory": "transformers",
    "automodel": "automodel",
}


def language_of(run: Run) -> str:
    """Return the dialect of a run's user, by config or log format; '' if unknown."""
    return run.config.dialect or _OF_FORMAT.get(run.format, "")


def name_of(key: str, language: str = "") -> str:
    """Return the name of a key in a language, in common words if it has none."""
    dialect = dialect_of(language)
    native = dialect.native_path(key, {}) if dialect and key not in _OTHERWISE else ""
    return native or WORDS.get(key, key)


def flag_of(key: str, language: str = "") -> str:
    """Return the name under which ``--set`` accepts a key from this user."""
    if language == "automodel" or key.startswith(_OURS) or key not in KINDS:
        return key
    native = () if key in _OTHERWISE else transformers.KEYS[key]
    short = [key.rpartition(".")[2], key.replace(".", "_")]
    alone = [name for name in short[:1] if sum(k.endswith(f".{name}") for k in KINDS) == 1]
    return [*native, *generic.KEYS.get(key, ()), *alone, *short[1:]][0]


def speak(text: str, language: str) -> str:
    """Return a text with each canonical key as this user would name it."""
    if language == "automodel" or "." not in text:
        return text

    def said(match: re.Match[str]) -> str:
        if match["given"]:
            return f"{flag_of(match[1], language)}="
        name = name_of(match[1], language)
        return name if name != WORDS.get(match[1]) else f"the {name}"

    return _KEY.sub(said, text)


def line_of(edit: Edit) -> str:
    """Return an Edit as one line: with the user's own key if there is one, else in words."""
    key = edit.native_key
    if not key:
        return describe_edit(edit)
    if not edit.resolved:
        words = {"multiply": f"x {edit.operand}", "add": f"+ {edit.operand}"}
        return f"{key}  {words.get(edit.op, f'= {edit.operand}')}"
    old, new = (redact_value(key, value) for value in (edit.native_old, edit.native_new))
    return f"{key}  {old} -> {new}"


def describe_edit(edit: Edit) -> str:
    """Return an Edit as a sentence: 'lower the learning rate from 0.0002 to 6e-05'."""
    what = f"the {WORDS.get(edit.key, edit.key)}"
    if not edit.resolved:
        return _describe_open(edit, what)
    old, new = edit.old, edit.new
    if isinstance(new, bool):
        return f"turn {what} {'on' if new else 'off'}"
    if is_number(old) and is_number(new):
        verb = "raise" if edit.direction > 0 else "lower"
        return f"{verb} {what} from {old} to {new}"
    if edit.op in ("append", "remove"):
        verb, to = ("add", "to") if edit.op == "append" else ("remove", "from")
        return f"{verb} {edit.operand} {to} {what}"
    return f"set {what} to {new}" + ("" if old is None else f" (was {old})")


def _describe_open(edit: Edit, what: str) -> str:
    if edit.op == "multiply" and is_number(edit.operand):
        verb = "lower" if number(edit.operand) < 1 else "raise"
        return f"{verb} {what} to {edit.operand} times its value"
    if edit.op == "add":
        return f"add {edit.operand} to {what}"
    return f"set {what} to {edit.operand}"
