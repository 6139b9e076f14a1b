"""What a ``_target_`` may name: a table of known names, each of which stands for one of ours.

A name is known by its package and its last parts; what lies between moved from version to
version of the system that the guide describes. Nothing is imported because a config names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from train.config.types import DataKind
from train.errors import TrainConfigError

NEMO, TORCH, TORCHDATA, HF, BNB = (
    "nemo_automodel",
    "torch",
    "torchdata",
    "transformers",
    "bitsandbytes",
)

MODELS = {
    (NEMO, "NeMoAutoModelForCausalLM.from_pretrained"): "from_pretrained",
    (NEMO, "NeMoAutoModelForCausalLM.from_config"): "from_config",
    (HF, "AutoModelForCausalLM.from_pretrained"): "from_pretrained",
    (HF, "AutoModelForCausalLM.from_config"): "from_config",
}
MODEL_CONFIGS = {(HF, "AutoConfig.from_pretrained"): "auto"}
TOKENIZERS = {
    (HF, "AutoTokenizer.from_pretrained"): "auto",
    (NEMO, "NeMoAutoTokenizer.from_pretrained"): "auto",
}
PEFT = {(NEMO, "PeftConfig"): "lora"}
DATASETS: dict[tuple[str, str], DataKind] = {
    (NEMO, "ColumnMappedTextInstructionDataset"): "columns",
    (NEMO, "ColumnMappedTextInstructionIterableDataset"): "columns",
    (NEMO, "ChatDataset"): "chat",
    (NEMO, "make_xlam_dataset"): "xlam",
}
STREAMING = "ColumnMappedTextInstructionIterableDataset"
LOSSES = {
    (NEMO, "MaskedCrossEntropy"): "masked",
    (NEMO, "ChunkedCrossEntropy"): "chunked",
    (NEMO, "FusedLinearCrossEntropy"): "fused_linear",
}
LOADERS = {(TORCHDATA, "StatefulDataLoader"): "stateful", (TORCH, "DataLoader"): "stateful"}
COLLATERS = {
    (NEMO, "default_collater"): "ours",
    (NEMO, "packed_sequence_thd_collater"): "ours",
}
STRATEGIES = {
    (NEMO, "FSDP2Config"): "fsdp2",
    (NEMO, "FSDP2Manager"): "fsdp2",
    (NEMO, "DDPConfig"): "ddp",
    (NEMO, "DDPManager"): "ddp",
}
RNGS = {(NEMO, "StatefulRNG"): "stateful"}
SCHEDULERS = {(NEMO, "OptimizerParamScheduler"): "ours"}
STEPS = {(NEMO, "StepScheduler"): "ours"}
CHECKPOINTS = {(NEMO, "CheckpointingConfig"): "ours"}
QUANTIZATIONS = {(HF, "BitsAndBytesConfig"): "bnb"}
_TORCH_OPTIMIZERS = (
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam",
    "RMSprop", "Rprop", "SGD",
)  # fmt: skip
_BNB_OPTIMIZERS = (
    "Adam8bit", "AdamW8bit", "PagedAdam8bit", "PagedAdamW8bit", "PagedAdamW", "PagedAdamW32bit",
    "Lion8bit", "PagedLion8bit",
)  # fmt: skip
OPTIMIZERS = {(TORCH, name): name for name in _TORCH_OPTIMIZERS} | {
    (BNB, name): name for name in _BNB_OPTIMIZERS
}
# A word instead of a dotted path.
SHORT_OPTIMIZERS = {name.lower(): name for name in (*_TORCH_OPTIMIZERS, *_BNB_OPTIMIZERS)}


def resolve(target: str, table: Mapping[tuple[str, str], str], place: str, path: str) -> str:
    """Return what a target stands for; an error names the known ones that are nearest."""
    known = look_up(target, table)
    if known is not None:
        return known
    names = [f"{package}...{name}" for package, name in table]
    near = get_close_matches(target.rpartition(".")[2], [name for _, name in table], 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names[:6])}"
    raise TrainConfigError(f"{place}: {path} '{target}' is not known here; {hint}")


def look_up(target: str, table: Mapping[tuple[str, str], str]) -> str | None:
    """Return what a target stands for, or None."""
    package = target.partition(".")[0]
    for (root, name), meaning in table.items():
        if package == root and target.endswith(f".{name}"):
            return meaning
    return None
