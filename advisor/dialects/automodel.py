"""The canonical dialect: NeMo AutoModel's YAML sections, as in the tuning guide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.dialects.change import KeyChange
from advisor.dialects.habits import Habits
from advisor.dialects.keys import KINDS
from advisor.dialects.table import TableDialect, Tree
from advisor.dialects.tree import dig, has
from advisor.findings import Edit

_HABITS = Habits(
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
_TABLE: dict[str, tuple[str, ...]] = {
    key: () if key.startswith(_OURS) or key in _MISSING else (key,) for key in KINDS
}
_TABLE |= {
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
_DEFAULTS: dict[str, object] = {
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
_LORA: dict[str, object] = {
    "peft._target_": "nemo_automodel.components._peft.lora.PeftConfig",
    "peft.match_all_linear": True,
    "peft.dim": 8,
    "peft.alpha": 32,
}


class AutoModel(TableDialect):
    """The dialect table, the method that follows from its sections, and the trainer's default
    warm-up."""

    @property
    def ROOTS(self) -> set[str]:
        return {key.split(".")[0] for key in KINDS} | {"distributed", "seed", "recipe"}

    def default_warmup(self, tree: Tree, steps: float | None) -> tuple[object, str]:
        if not steps:
            return self.default_of("lr_scheduler.lr_warmup_steps", tree), ""
        if tree and not has(tree, "lr_scheduler"):
            return 0, "no lr_scheduler, so no warmup"
        return int(min(1000, steps // 10)), f"the default of {self.NAME}"

    def read(self, tree: Tree) -> dict[str, object]:
        values = super().read(tree)
        if not isinstance(values.get("data.parallel", 1), int):
            del values["data.parallel"]
        if tree.get("validation_split"):  # of our own trainer: rows held out by hash
            values.setdefault("validation.strategy", "split")
        return {**values, "method": _method(tree)}

    def changes(
        self, edits: Sequence[Edit], values: Mapping[str, object], tree: Tree
    ) -> list[KeyChange]:
        found: list[KeyChange] = []
        for edit in edits:
            if edit.key == "method":
                found += _change_method(str(edit.new), tree)
            else:
                found += super().changes([edit], values, tree)
        return found


def _method(tree: Mapping[str, object]) -> str:
    peft = tree.get("peft")
    if not isinstance(peft, Mapping):
        return "full"
    quantized = dig(tree, "quantization.load_in_4bit") or dig(tree, "quantization.load_in_8bit")
    if quantized:
        return "qlora"
    return "dora" if peft.get("use_dora") else "lora"


def _change_method(method: str, tree: Mapping[str, object]) -> list[KeyChange]:
    wanted = dict(_LORA) if method != "full" and not isinstance(tree.get("peft"), Mapping) else {}
    if method == "dora":
        wanted["peft.use_dora"] = True
    if method == "qlora":
        wanted["quantization.load_in_4bit"] = True
    return [KeyChange(tuple(key.split(".")), value, "method") for key, value in wanted.items()]


AUTOMODEL = AutoModel("automodel", _TABLE, _MARKS, _HABITS, _DEFAULTS)
