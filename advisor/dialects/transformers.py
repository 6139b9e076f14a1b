"""Hugging Face TrainingArguments, LoraConfig and the many files that share their keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.base.numbers import finite
from advisor.dialects.change import KeyChange
from advisor.dialects.document import rewrite
from advisor.dialects.front_ends import front_end
from advisor.dialects.habits import Habits
from advisor.dialects.keys import coerce
from advisor.dialects.strangers import stranger
from advisor.dialects.transformers_names import (
    DEFAULTS,
    KEYS,
    ROOTS,
    find,
    home,
    native_path,
    warmup_share,
)
from advisor.dialects.tree import dig, has
from advisor.findings import Edit

__all__ = [
    "DEFAULTS", "KEYS", "NAME", "ROOTS", "changes", "default_of", "native_path", "overrides",
    "read", "sniff", "snippet", "write",
]  # fmt: skip
NAME = "transformers"
HABITS = Habits(ends_at="max_steps", global_batch="product", takes_adam=True, clips=True)
_STYLES = {
    "cosine_with_min_lr": "cosine",
    "cosine_warmup_with_min_lr": "cosine",
    "constant_with_warmup": "constant",
    "inverse_sqrt": "inverse-square-root",
    "warmup_stable_decay": "WSD",
}
# Keys that are not command-line arguments, or have another name there.
_NO_FLAG = ("bnb_4bit_compute_dtype", "exclude_modules")
_FLAG = {
    "r": "lora_r",
    "target_modules": "lora_target_modules",
    "modules_to_save": "lora_modules_to_save",
    "bnb_4bit_use_double_quant": "use_bnb_nested_quant",
}
_ARGUMENTS = "TrainingArguments"
_OWNERS = (
    ("peft.", "LoraConfig"),
    ("quantization.", "BitsAndBytesConfig"),
    ("model.", "AutoModelForCausalLM.from_pretrained"),
    ("dataset.seq_length", "SFTConfig"),
)
_TO_STYLE = {"inverse-square-root": "inverse_sqrt", "WSD": "warmup_stable_decay"}


def sniff(tree: Mapping[str, object]) -> bool:
    """Return whether a tree holds arguments of this dialect and of no other trainer."""
    known = home(tree) is not None or front_end(tree) is not None
    return known and "log_history" not in tree and not stranger(tree)


def default_of(key: str, tree: Mapping[str, object]) -> object:
    """Return the trainer's default for a key missing in a config, or None."""
    front = front_end(tree)  # front ends keep TrainingArguments' defaults, but not LoraConfig's
    own_batch = front is not None and "step_scheduler.local_batch_size" in front.names
    foreign = front is not None and (key.startswith("peft.") or own_batch)
    return None if foreign else DEFAULTS.get(key)


def default_warmup(tree: Mapping[str, object], steps: float | None) -> tuple[object, str]:
    """Return the default warm-up steps, and a description in words."""
    return default_of("lr_scheduler.lr_warmup_steps", tree), ""


def read(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the values that the tree sets, under canonical keys."""
    values: dict[str, object] = {}
    for key, names in KEYS.items():
        paths = [path for path in (find(tree, name) for name in names) if path]
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
    value = dig(tree, find(tree, name) or name)
    return None if value is None else value is True or str(value).lower() in ("true", "auto")


def _read_optimizer(tree: Mapping[str, object], values: dict[str, object]) -> None:
    name = str(values.get("optimizer._target_", "")).lower().removeprefix("optimizernames.")
    if "adamw" in name:
        values["optimizer._target_"] = "torch.optim.AdamW"
    elif name == "sgd":
        values["optimizer._target_"] = "torch.optim.SGD"
    betas = [dig(tree, find(tree, beta) or beta) for beta in ("adam_beta1", "adam_beta2")]
    if all(isinstance(beta, float) for beta in betas):
        values["optimizer.betas"] = betas


def _read_schedule(values: dict[str, object]) -> None:
    style = values.get("lr_scheduler.lr_decay_style")
    if isinstance(style, str):
        style = style.lower().removeprefix("schedulertype.")
        values["lr_scheduler.lr_decay_style"] = _STYLES.get(style, style)
    warmup = values.get("lr_scheduler.lr_warmup_steps")
    if isinstance(warmup, float) and 0 < warmup < 1:  # a share, in newer versions
        values["lr_scheduler.lr_warmup_ratio"] = values.pop("lr_scheduler.lr_warmup_steps")
    ratio = values.get("lr_scheduler.lr_warmup_ratio")
    if warmup == 0 and isinstance(ratio, float) and ratio > 0:
        del values["lr_scheduler.lr_warmup_steps"]  # 0: the ratio decides
    for key in ("step_scheduler.max_steps", "step_scheduler.val_every_steps"):
        value = values.get(key)
        if isinstance(value, (int, float)) and (value < 1):
            del values[key]  # -1 means 'not set', and a share of the steps is not a count


def _read_batch(values: dict[str, object]) -> None:
    """Compute the global batch, which no argument of this dialect states."""
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
    linear = dig(tree, find(tree, "lora_target_linear") or "lora_target_linear")
    if isinstance(linear, bool):
        values["peft.match_all_linear"] = linear or bool(values.get("peft.match_all_linear"))
    bits = dig(tree, find(tree, "quantization_bit") or "quantization_bit")
    if bits in (4, 8):
        values[f"quantization.load_in_{bits}bit"] = True
    named = str(values.pop("method", "")).lower()
    front = front_end(tree)
    if front is not None and front.name == "axolotl" and not dig(tree, "adapter"):
        named = "full"  # this trainer names an adapter whenever it trains one
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
) -> list[KeyChange]:
    """Return the changes for the edits, at native paths."""
    after = {**values, **{edit.key: edit.new for edit in edits}}
    found: dict[tuple[str, ...], KeyChange] = {}
    for edit in edits:
        for path, value in _native(edit, after, tree):
            parts = tuple(path.split("."))
            found[parts] = KeyChange(parts, value, edit.key)
    return list(found.values())


def _native(
    edit: Edit, after: Mapping[str, object], tree: Mapping[str, object]
) -> list[tuple[str, object]]:
    path = native_path(edit.key, tree)
    if not path:
        return []
    if edit.key in ("step_scheduler.global_batch_size", "step_scheduler.grad_acc_steps"):
        return [(path, accumulation(after, edit))]
    if edit.key == "precision.amp":
        section = path[: -len("bf16")]
        names = [name for name in ("bf16", "fp16") if _is_shown(name, edit, tree)]
        return [(section + name, edit.new == name) for name in names]
    if edit.key == "optimizer.betas":
        low, high = edit.new if isinstance(edit.new, list) else (edit.new, edit.new)
        return [(path, low), (path.replace("beta1", "beta2"), high)]
    if edit.key.startswith("lr_scheduler."):
        return _native_schedule(path, edit, after, tree)
    if edit.key in ("step_scheduler.val_every_steps", "step_scheduler.ckpt_every_steps"):
        return _native_interval(path, edit, after, tree)
    value = _native_value(path, edit, tree)
    return [] if value is None else [(path, value)]


def _native_value(path: str, edit: Edit, tree: Mapping[str, object]) -> object:
    """Return a new value as this trainer spells it; None if it has no word for it."""
    new = edit.new
    if edit.key == "peft.match_all_linear" and not path.endswith("lora_target_linear"):
        whole = "all" if path.endswith("lora_target") else "all-linear"
        return whole if new else None
    if path.endswith("flash_attn"):  # LLaMA-Factory's
        words = {"flash_attention_2": "fa2", "eager": "disabled"}
        return words.get(str(new), new)
    if edit.key == "optimizer._target_":
        return {"torch.optim.AdamW": "adamw_torch", "torch.optim.SGD": "sgd"}.get(str(new), new)
    if isinstance(new, list):
        there = dig(tree, path)
        in_commas = path.endswith("lora_target") or (isinstance(there, str) and "," in there)
        return ",".join(map(str, new)) if in_commas else new
    return new


def _native_schedule(
    path: str, edit: Edit, after: Mapping[str, object], tree: Mapping[str, object]
) -> list[tuple[str, object]]:
    if edit.key == "lr_scheduler.lr_decay_style":
        return [(path, _TO_STYLE.get(str(edit.new), edit.new))]
    if edit.key == "lr_scheduler.min_lr" and not has(tree, path):
        style = native_path("lr_scheduler.lr_decay_style", tree)
        cosine = after.get("lr_scheduler.lr_decay_style") == "cosine"
        return [(style, "cosine_with_min_lr"), (path, edit.new)] if cosine else []
    if edit.key == "lr_scheduler.lr_warmup_steps" and path.endswith("warmup_ratio"):
        old, new = finite(edit.old), finite(edit.new)
        share = finite(after.get("lr_scheduler.lr_warmup_ratio")) or warmup_share(tree)
        if old and new is not None and share * new / old < 1:
            return [(path, float(f"{share * new / old:.3g}"))]
        return [(path.replace("ratio", "steps"), edit.new), (path, 0.0)]
    return [(path, edit.new)]


def _native_interval(
    path: str, edit: Edit, after: Mapping[str, object], tree: Mapping[str, object]
) -> list[tuple[str, object]]:
    """Return the changes that count an interval in steps where it was an epoch.

    A trainer that loads the best checkpoint at the end needs a save at each evaluation.
    """
    saves = edit.key == "step_scheduler.ckpt_every_steps"
    evaluated = native_path("validation.strategy", tree)
    saved = find(tree, "save_strategy")
    pairs: list[tuple[str, object]] = [(path, edit.new)]
    if not saves or (after.get("checkpoint.load_best") and find(tree, "eval_steps")):
        pairs.append((evaluated, "steps"))
    if saved and (saves or after.get("checkpoint.load_best")):
        pairs.append((saved, "steps"))
    every = finite(edit.new)
    if not saves and after.get("checkpoint.load_best") and every:
        held = finite(after.get("step_scheduler.ckpt_every_steps")) or every
        whole = int(max(1, round(held / every)) * every)
        pairs.append((native_path("step_scheduler.ckpt_every_steps", tree), whole))
    return [pair for pair in pairs if pair[0]]


def _is_shown(name: str, edit: Edit, tree: Mapping[str, object]) -> bool:
    """Return whether a flag is written. A flag that was on must be named: setting both is an
    error."""
    return name in (edit.new, edit.old) or bool(find(tree, name))


def accumulation(values: Mapping[str, object], edit: Edit) -> int:
    """Return the accumulation steps that give the global batch of ``values``."""
    if edit.key == "step_scheduler.grad_acc_steps":
        return max(1, int(edit.new)) if isinstance(edit.new, (int, float)) else 1
    local = values.get("step_scheduler.local_batch_size", 8)
    parallel = values.get("data.parallel", 1)
    whole = edit.new if isinstance(edit.new, (int, float)) else 1
    ok = isinstance(local, int) and isinstance(parallel, int) and local * parallel > 0
    return max(1, round(whole / (local * parallel))) if ok else 1  # type: ignore[operator]


def write(
    text: str,
    path: Path,
    edits: Sequence[Edit],
    values: Mapping[str, object],
    tree: Mapping[str, object],
) -> str:
    """Return the config's text with the edits made."""
    held = read(tree)
    # shares and devices are those of the run, before any edit
    names = ("data.parallel", "lr_scheduler.lr_warmup_ratio")
    trained = {name: values[name] for name in names if name in values}
    return rewrite(text, path, changes(edits, {"data.parallel": 1, **held, **trained}, tree))


def overrides(
    edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
) -> list[str]:
    """Return the edits as flags, named as in the front end that wrote the file."""
    flags: list[str] = []
    for change in changes(edits, values, tree):
        native = ".".join(change.path)
        name = native.split(".")[-1]
        value: object = change.value
        if "lr_scheduler_kwargs." in native:
            name, value = "lr_scheduler_kwargs", json.dumps({name: value})
        if name in _NO_FLAG:
            continue
        items = value if isinstance(value, list) else [value]
        flags += [f"--{_FLAG.get(name, name)}", *(str(item) for item in items)]
    return flags


def snippet(edits: Sequence[Edit], values: Mapping[str, object]) -> str:
    """Return the edits as Python keyword arguments, for scripts without a config file."""
    arguments: dict[str, list[str]] = {}
    for change in changes(edits, values, {}):
        if change.key == "method":
            continue
        owner = next((o for start, o in _OWNERS if change.key.startswith(start)), _ARGUMENTS)
        value = {change.path[1]: change.value} if len(change.path) > 1 else change.value
        arguments.setdefault(owner, []).append(f"    {change.path[0]}={value!r},\n")
    return "".join(f"{name}(\n{''.join(args)})\n" for name, args in sorted(arguments.items()))
