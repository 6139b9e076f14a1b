"""The canonical dialect: NeMo AutoModel's YAML sections, as the tuning guide writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.dialects.change import KeyChange
from advisor.dialects.document import rewrite
from advisor.dialects.habits import Habits
from advisor.dialects.keys import KINDS, coerce
from advisor.dialects.marks import bears
from advisor.dialects.scalars import scalar
from advisor.dialects.tree import dig, has
from advisor.findings import Edit

NAME = "automodel"
HABITS = Habits(
    is_ours=True,
    ends_at="first",
    global_batch="stated",
    adapter_section="peft",
    takes_adam=True,
    clips=True,
    masks_packed=True,
    keeps_stored_precision=True,
)
_OURS = ("method", "data.", "precision.", "logging.", "validation.", "tokenizer.")
_MISSING = (
    "lr_scheduler.lr_warmup_ratio",
    "step_scheduler.grad_acc_steps",
    "checkpoint.load_best",
    "peft.use_rslora",
    "peft.modules_to_save",
    "model.vocab_size",
    "model.transformers_version",
    "distributed_config.use_reentrant",
)
KEYS: dict[str, tuple[str, ...]] = {
    key: () if key.startswith(_OURS) or key in _MISSING else (key,) for key in KINDS
}
KEYS |= {
    "rng.seed": ("rng.seed", "seed"),
    "data.parallel": ("distributed.dp_size",),
    "dataset.path_or_dataset_id": ("dataset.path_or_dataset_id", "dataset.dataset_name"),
    "dataset.limit_dataset_samples": ("dataset.limit_dataset_samples", "dataset.limit"),
    "validation_dataset.path_or_dataset_id": (
        "validation_dataset.path_or_dataset_id",
        "validation_dataset.dataset_name",
    ),
    "validation_dataset.limit_dataset_samples": (
        "validation_dataset.limit_dataset_samples",
        "validation_dataset.limit",
    ),
    "distributed_config.activation_checkpointing": (
        "distributed_config.activation_checkpointing",
        "distributed.activation_checkpointing",
    ),
}
DEFAULTS: dict[str, object] = {
    "step_scheduler.global_batch_size": 32,
    "step_scheduler.local_batch_size": 1,
    "step_scheduler.num_epochs": 10,
    "step_scheduler.ckpt_every_steps": 100,
    "clip_grad_norm.max_norm": 1.0,
    "peft.dim": 8,
    "peft.alpha": 32,
    "peft.dropout": 0.0,
    "peft.match_all_linear": False,
    "peft.use_dora": False,
    "quantization.bnb_4bit_quant_type": "nf4",
    "quantization.bnb_4bit_compute_dtype": "bfloat16",
    "quantization.bnb_4bit_use_double_quant": True,
    "packed_sequence.packed_sequence_size": 0,
    "dataloader.shuffle": True,
    "dataloader.num_workers": 0,
    "checkpoint.enabled": True,
    "distributed_config.activation_checkpointing": False,
    "rng.seed": 42,
}
_MARKS = (
    "*._target_=^nemo_automodel[.]",
    "recipe=Recipe step_scheduler",
    *(f"step_scheduler.{key.split('.')[1]}" for key in KINDS if key.startswith("step_scheduler.")),
    "optimizer.lr lr_scheduler.lr_decay_style",
    "optimizer.lr lr_scheduler.lr_warmup_steps optimizer._target_",
    "optimizer.lr peft.match_all_linear",
    "optimizer.lr model.pretrained_model_name_or_path dataset.path_or_dataset_id",
)
ROOTS = {key.split(".")[0] for key in KINDS} | {"distributed", "seed", "recipe"}
_LORA: dict[str, object] = {
    "peft._target_": "nemo_automodel.components._peft.lora.PeftConfig",
    "peft.match_all_linear": True,
    "peft.dim": 8,
    "peft.alpha": 32,
}


def sniff(tree: Mapping[str, object]) -> bool:
    """Say whether a tree is a config of this dialect."""
    return bears(tree, _MARKS)


def default_of(key: str, tree: Mapping[str, object]) -> object:
    """Return the trainer's own value of a key that a config leaves out, or None."""
    return DEFAULTS.get(key)


def default_warmup(tree: Mapping[str, object], steps: float | None) -> tuple[object, str]:
    """Return how many steps the rate warms up where a config says nothing, and that in words."""
    if not steps:
        return default_of("lr_scheduler.lr_warmup_steps", tree), ""
    if tree and not has(tree, "lr_scheduler"):
        return 0, "no lr_scheduler, so no warmup"
    return int(min(1000, steps // 10)), f"the default of {NAME}"


def native_path(key: str, tree: Mapping[str, object]) -> str:
    """Return the name under which the tree holds (or would hold) a canonical key."""
    names = KEYS.get(key, ())
    return next((name for name in names if has(tree, name)), names[0] if names else "")


def read(tree: Mapping[str, object]) -> dict[str, object]:
    """Return the values that the tree sets, under canonical keys."""
    values: dict[str, object] = {}
    for key, names in KEYS.items():
        for name in names:
            value = dig(tree, name)
            if value is not None and not isinstance(value, Mapping):
                values[key] = coerce(key, value)
                break
    if not isinstance(values.get("data.parallel", 1), int):
        del values["data.parallel"]
    if tree.get("validation_split"):  # of our own trainer: rows held out by hash
        values.setdefault("validation.strategy", "split")
    values["method"] = _method(tree)
    return values


def _method(tree: Mapping[str, object]) -> str:
    peft = tree.get("peft")
    if not isinstance(peft, Mapping):
        return "full"
    quantized = dig(tree, "quantization.load_in_4bit") or dig(tree, "quantization.load_in_8bit")
    if quantized:
        return "qlora"
    return "dora" if peft.get("use_dora") else "lora"


def changes(
    edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
) -> list[KeyChange]:
    """Return what the edits write, in native paths."""
    found: list[KeyChange] = []
    for edit in edits:
        if edit.key == "method":
            found += _change_method(str(edit.new), tree)
            continue
        native = native_path(edit.key, tree)
        if native:
            found.append(KeyChange(tuple(native.split(".")), edit.new, edit.key))
    return found


def _change_method(method: str, tree: Mapping[str, object]) -> list[KeyChange]:
    wanted = dict(_LORA) if method != "full" and not isinstance(tree.get("peft"), Mapping) else {}
    if method == "dora":
        wanted["peft.use_dora"] = True
    if method == "qlora":
        wanted["quantization.load_in_4bit"] = True
    return [KeyChange(tuple(key.split(".")), value, "method") for key, value in wanted.items()]


def write(
    text: str,
    path: Path,
    edits: Sequence[Edit],
    values: Mapping[str, object],
    tree: Mapping[str, object],
) -> str:
    """Return the config's text with the edits made."""
    return rewrite(text, path, changes(edits, values, tree))


def overrides(
    edits: Sequence[Edit], values: Mapping[str, object], tree: Mapping[str, object]
) -> list[str]:
    """Return the edits as flags of the trainer's command line."""
    flags: list[str] = []
    for change in changes(edits, values, tree):
        value = change.value
        # the trainer reads a list as a Python literal
        text = repr(value) if isinstance(value, (float, list)) else scalar(value)
        flags += ["--" + ".".join(change.path), text]
    return flags


def snippet(edits: Sequence[Edit], values: Mapping[str, object]) -> str:
    """Return the edits as YAML to be pasted where no file can be written."""
    text = ""
    for change in changes(edits, values, {}):
        text = rewrite(text, Path("snippet.yaml"), [change])
    return text
