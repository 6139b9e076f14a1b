"""Hugging Face TrainingArguments, LoraConfig and the many files that share their keys.

The first native name of a key is TrainingArguments' own; the others are what LLaMA-Factory,
axolotl and TRL call it. A key is written where, and under the name, the file has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.dialects.document import Change, rewrite
from advisor.dialects.keys import KINDS, coerce
from advisor.dialects.tree import cast, dig, has
from advisor.findings import Edit

NAME = "transformers"
_SECTIONS = (
    "", "training_args", "training_arguments", "training", "train", "trainer", "TrainingArguments",
    "peft_config", "peft_config.default", "lora_config", "LoraConfig", "lora", "peft",
    "args", "hparams", "config", "quantization_config", "bnb_config", "quantization", "model", "data", "dataset", "optimizer",
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
    "peft.modules_to_save": "modules_to_save lora_modules_to_save",
    "quantization.load_in_4bit": "load_in_4bit",
    "quantization.load_in_8bit": "load_in_8bit",
    "quantization.bnb_4bit_quant_type": "bnb_4bit_quant_type",
    "quantization.bnb_4bit_compute_dtype": "bnb_4bit_compute_dtype",
    "quantization.bnb_4bit_use_double_quant": "bnb_4bit_use_double_quant double_quantization",
    "model.pretrained_model_name_or_path":
        "model_name_or_path base_model model_name _name_or_path base_model_name_or_path",
    "model.torch_dtype": "torch_dtype dtype",
    "model.attn_implementation": "attn_implementation flash_attn",
    "dataset.path_or_dataset_id": "dataset_name dataset_path",
    "dataset.seq_length": "max_length max_seq_length cutoff_len sequence_len",
    "dataset.limit_dataset_samples": "max_samples",
    "dataloader.num_workers": "dataloader_num_workers",
    "dataloader.group_by_length": "group_by_length",
    "validation_dataloader.batch_size": "per_device_eval_batch_size",
    "checkpoint.checkpoint_dir": "output_dir",
    "checkpoint.load_best": "load_best_model_at_end",
    "distributed_config.activation_checkpointing": "gradient_checkpointing",
    "rng.seed": "seed",
    "data.parallel": "world_size",
    "logging.nan_inf_filter": "logging_nan_inf_filter",
    "logging.every_steps": "logging_steps",
    "validation.accumulation_steps": "eval_accumulation_steps",
    "validation.strategy": "eval_strategy evaluation_strategy",
    "method": "finetuning_type adapter",
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
_MARKS = (
    "per_device_train_batch_size", "num_train_epochs", "gradient_accumulation_steps",
    "warmup_ratio", "max_grad_norm", "micro_batch_size", "lora_alpha", "lr_scheduler_type",
)  # fmt: skip
_STYLES = {
    "cosine_with_min_lr": "cosine",
    "cosine_warmup_with_min_lr": "cosine",
    "constant_with_warmup": "constant",
    "inverse_sqrt": "inverse-square-root",
    "warmup_stable_decay": "WSD",
}
_TO_STYLE = {"inverse-square-root": "inverse_sqrt", "WSD": "warmup_stable_decay"}


_MORE_MARKS = ("output_dir", "logging_steps", "save_steps", "optim", "warmup_steps", "bf16", "fp16")
ROOTS = {"adam_beta1", "adam_beta2", "fp16", "quantization_bit", "lora_target_linear", "peft_type"}
ROOTS |= {section.split(".")[0] for section in _SECTIONS}
# What other front ends call a key that their file does not hold yet, by a mark of theirs.
_FLAVOURS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (
        ("finetuning_type", "lora_rank", "lora_target", "cutoff_len"),
        {"peft.dim": "lora_rank", "peft.target_modules": "lora_target",
         "dataset.seq_length": "cutoff_len"},
    ),
    (
        ("micro_batch_size", "base_model", "sequence_len"),
        {"peft.dim": "lora_r", "peft.target_modules": "lora_target_modules",
         "dataset.seq_length": "sequence_len", "step_scheduler.num_epochs": "num_epochs",
         "lr_scheduler.lr_decay_style": "lr_scheduler", "optimizer._target_": "optimizer",
         "step_scheduler.local_batch_size": "micro_batch_size"},
    ),
    (("lora_r", "use_peft"), {"peft.dim": "lora_r", "peft.target_modules": "lora_target_modules"}),
)  # fmt: skip
_NOT_ARGUMENTS = ("peft.", "quantization.", "model.", "dataset.", "method", "data.")


def sniff(tree: Mapping[str, object]) -> bool:
    """Say whether a tree holds arguments of this dialect."""
    if any(_find(tree, name) for name in _MARKS):
        return True
    return "learning_rate" in tree and any(name in tree for name in _MORE_MARKS)


def default_of(key: str) -> object:
    """Return the trainer's own value of a key that a config leaves out, or None."""
    return DEFAULTS.get(key)


def _find(tree: Mapping[str, object], name: str) -> str:
    """Return the path at which the tree holds a native name, or ''."""
    for section in _SECTIONS:
        path = f"{section}.{name}" if section else name
        if has(tree, path):
            return path
    return ""


def native_path(key: str, tree: Mapping[str, object]) -> str:
    """Return the path at which the tree holds (or would hold) a canonical key."""
    if key == "peft.match_all_linear":
        key = "peft.target_modules"
    if key == "optimizer.betas":
        return native_path("optimizer.eps", tree).replace("epsilon", "beta1")
    names = KEYS.get(key, ())
    if not names:
        return ""
    if key == "precision.amp" and _find(tree, "fp16") and not _find(tree, "bf16"):
        names = ("fp16",)
    for name in names:
        path = _find(tree, name)
        if path:
            return path
    flavour = next((f for f in _FLAVOURS if any(_find(tree, mark) for mark in f[0])), None)
    section = _beside(key, tree)
    if flavour:
        return section + flavour[1].get(key, names[0])
    if tree and key.startswith(_NOT_ARGUMENTS) and not _has_kin(key, tree):
        return ""  # TrainingArguments refuses what is not its own
    return section + names[0]


def _has_kin(key: str, tree: Mapping[str, object]) -> bool:
    """Say whether the file holds another key of the same section."""
    start = key.split(".")[0] + "."
    kin = (names for other, names in KEYS.items() if other.startswith(start))
    return any(_find(tree, name) for names in kin for name in names)


def _beside(key: str, tree: Mapping[str, object]) -> str:
    """Return the section (with its dot) in which keys of the same kind stand in this file."""
    marks = ("r", "lora_alpha", "lora_r", "lora_rank") if key.startswith("peft.") else _MARKS
    for mark in ("learning_rate", *marks) if marks is _MARKS else marks:
        path = _find(tree, mark)
        if path:
            return path[: len(path) - len(mark)]
    return ""


def read(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the values that the tree sets, under canonical keys."""
    values: dict[str, object] = {}
    for key, names in KEYS.items():
        paths = [path for path in (_find(tree, name) for name in names) if path]
        value = next((v for v in (dig(tree, path) for path in paths) if v is not None), None)
        if value is not None and not isinstance(value, Mapping):
            values[key] = coerce(key, value)
    _read_optimizer(tree, values)
    _read_schedule(values)
    _read_batch(values)
    _read_adapter(tree, values)
    fp16, bf16 = _flag(tree, "fp16"), _flag(tree, "bf16")
    values.pop("precision.amp", None)
    if fp16 is not None or bf16 is not None:
        values["precision.amp"] = "bf16" if bf16 else "fp16" if fp16 else "no"
    return values


def _flag(tree: Mapping[str, object], name: str) -> bool | None:
    value = dig(tree, _find(tree, name) or name)
    return None if value is None else value is True or str(value).lower() in ("true", "auto")


def _read_optimizer(tree: Mapping[str, object], values: dict[str, object]) -> None:
    name = str(values.get("optimizer._target_", "")).lower().removeprefix("optimizernames.")
    if "adamw" in name:
        values["optimizer._target_"] = "torch.optim.AdamW"
    elif name == "sgd":
        values["optimizer._target_"] = "torch.optim.SGD"
    betas = [dig(tree, _find(tree, beta) or beta) for beta in ("adam_beta1", "adam_beta2")]
    if all(isinstance(beta, float) for beta in betas):
        values["optimizer.betas"] = betas


def _read_schedule(values: dict[str, object]) -> None:
    style = values.get("lr_scheduler.lr_decay_style")
    if isinstance(style, str):
        style = style.lower().removeprefix("schedulertype.")
        values["lr_scheduler.lr_decay_style"] = _STYLES.get(style, style)
    warmup = values.get("lr_scheduler.lr_warmup_steps")
    if isinstance(warmup, float) and 0 < warmup < 1:  # newer versions take a share here
        values["lr_scheduler.lr_warmup_ratio"] = values.pop("lr_scheduler.lr_warmup_steps")
    ratio = values.get("lr_scheduler.lr_warmup_ratio")
    if warmup == 0 and isinstance(ratio, float) and ratio > 0:
        del values["lr_scheduler.lr_warmup_steps"]  # 0 means: the ratio decides
    for key in ("step_scheduler.max_steps", "step_scheduler.val_every_steps"):
        value = values.get(key)
        if isinstance(value, (int, float)) and (value < 1):
            del values[key]  # -1 is 'not set'; a share of the steps is no count


def _read_batch(values: dict[str, object]) -> None:
    """Work out the global batch, which no argument of this dialect states."""
    values.pop("step_scheduler.global_batch_size", None)
    local = values.get("step_scheduler.local_batch_size")
    steps = values.get("step_scheduler.grad_acc_steps", 1)
    parallel = values.get("data.parallel", 1)
    if isinstance(local, int) and isinstance(steps, int) and isinstance(parallel, int):
        values["step_scheduler.global_batch_size"] = local * steps * parallel


def _read_adapter(tree: Mapping[str, object], values: dict[str, object]) -> None:
    targets = values.get("peft.target_modules")
    if targets in (["all-linear"], ["all"]):
        values["peft.match_all_linear"] = True
        del values["peft.target_modules"]
    if dig(tree, "lora_target_linear") is True:
        values["peft.match_all_linear"] = True
    bits = dig(tree, _find(tree, "quantization_bit") or "quantization_bit")
    if bits in (4, 8):
        values[f"quantization.load_in_{bits}bit"] = True
    named = str(values.pop("method", "")).lower()
    adapter = any(values.get(key) is not None for key in ("peft.dim", "peft.alpha"))
    if named in ("full", "lora", "qlora", "dora"):
        adapter = named != "full"
        values["method"] = named
    if adapter:
        quantized = any(values.get(f"quantization.load_in_{n}bit") for n in (4, 8))
        dora = bool(values.get("peft.use_dora"))
        values["method"] = "qlora" if quantized or named == "qlora" else "lora"
        if values["method"] == "lora" and (dora or named == "dora"):
            values["method"] = "dora"


def changes(
    edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
) -> list[Change]:
    """Return what the edits write, in native paths."""
    after = {**values, **{edit.key: edit.new for edit in edits}}
    found: dict[tuple[str, ...], Change] = {}
    for edit in edits:
        for path, value in _native(edit, after, tree):
            parts = tuple(path.split("."))
            found[parts] = Change(parts, value, edit.key)
    return list(found.values())


def _native(
    edit: Edit, after: Mapping[str, object], tree: Mapping[str, object]
) -> list[tuple[str, object]]:
    path = native_path(edit.key, tree)
    new = edit.new
    if not path:
        return []
    if edit.key in ("step_scheduler.global_batch_size", "step_scheduler.grad_acc_steps"):
        return [(path, accumulation(after, edit))]
    if edit.key == "precision.amp":
        section = path[: -len("bf16")]
        return [
            (section + name, new == name) for name in ("bf16", "fp16") if _shown(name, new, tree)
        ]
    if edit.key == "optimizer.betas":
        assert isinstance(new, list)
        return [(path, new[0]), (path.replace("beta1", "beta2"), new[1])]
    if edit.key == "peft.match_all_linear":
        whole = "all" if path.endswith("lora_target") else "all-linear"
        return [(path, whole)] if new else []
    if edit.key == "optimizer._target_":
        names = {"torch.optim.AdamW": "adamw_torch", "torch.optim.SGD": "sgd"}
        return [(path, names.get(str(new), new))]
    if edit.key == "lr_scheduler.lr_decay_style":
        return [(path, _TO_STYLE.get(str(new), new))]
    if edit.key == "lr_scheduler.min_lr":
        if has(tree, path):
            return [(path, new)]
        style = native_path("lr_scheduler.lr_decay_style", tree)
        cosine = after.get("lr_scheduler.lr_decay_style") == "cosine"
        return [(style, "cosine_with_min_lr"), (path, new)] if cosine else []
    if edit.key == "lr_scheduler.lr_warmup_steps" and _find(tree, "warmup_ratio"):
        return [(path, new), (_find(tree, "warmup_ratio"), 0.0)]
    if edit.key == "step_scheduler.val_every_steps":
        strategy = native_path("validation.strategy", tree)
        return [(strategy, "steps"), (path, new)]
    return [(path, new)]


def _shown(name: str, new: object, tree: Mapping[str, object]) -> bool:
    return new == name or bool(_find(tree, name))


def accumulation(values: Mapping[str, object], edit: Edit) -> int:
    """Return the accumulation steps that give the global batch of ``values``."""
    if edit.key == "step_scheduler.grad_acc_steps":
        return int(cast(str(edit.new)) or 1)  # type: ignore[call-overload, no-any-return]
    local = values.get("step_scheduler.local_batch_size", 8)
    parallel = values.get("data.parallel", 1)
    whole = values.get("step_scheduler.global_batch_size", 1)
    ok = isinstance(local, int) and isinstance(parallel, int) and isinstance(whole, int)
    return max(1, round(whole / (local * parallel))) if ok else 1  # type: ignore[operator]


def write(text: str, path: Path, edits: Sequence[Edit], tree: Mapping[str, object]) -> str:
    """Return the config's text with the edits made."""
    return rewrite(text, path, changes(edits, read(tree), tree))


def overrides(edits: Sequence[Edit], values: Mapping[str, object]) -> list[str]:
    """Return the edits as flags for HfArgumentParser."""
    flags: list[str] = []
    for change in changes(edits, values, {}):
        name = "lora_r" if change.path == ("r",) else change.path[0]
        value: object = change.value
        if len(change.path) > 1:
            value = '{"' + change.path[1] + f'": {value!r}' + "}"
        items = value if isinstance(value, list) else [value]
        flags += [f"--{name}", *(str(item) for item in items)]
    return flags


def snippet(edits: Sequence[Edit], values: Mapping[str, object]) -> str:
    """Return the edits as Python keyword arguments, for scripts without a config file."""
    arguments: dict[str, list[str]] = {"TrainingArguments": [], "LoraConfig": []}
    for change in changes(edits, values, {}):
        owner = "LoraConfig" if change.key.startswith("peft.") else "TrainingArguments"
        if change.key in ("method",) or change.key.startswith(("quantization.", "model.")):
            continue
        value = {change.path[1]: change.value} if len(change.path) > 1 else change.value
        arguments[owner].append(f"    {change.path[0]}={value!r},\n")
    return "".join(f"{name}(\n{''.join(args)})\n" for name, args in arguments.items() if args)
