"""The defaults that hold beside what a config says, as dotted keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from train.config.load import Loaded

_SECTIONS = (
    "model", "step_scheduler", "lr_scheduler", "peft", "quantization", "packed_sequence",
    "dataloader", "validation_dataloader", "checkpoint", "safety", "advisor",
)  # fmt: skip
# Said in other words in the YAML, or worked out from the data.
_INNER = {"model.source", "model.config", "model.pretrained_model_name_or_path"}
_OTHER_NAMES = {"model.dtype": "model.torch_dtype"}


def defaults(loaded: Loaded) -> Iterator[tuple[str, object]]:
    """Yield key and value of every default; None ones are left out."""
    config, tree = loaded.config, loaded.tree
    for name in _SECTIONS:
        section = getattr(config, name)
        if section is None:
            continue
        said = tree.get(name)
        said = said if isinstance(said, Mapping) else {}
        for field in dataclasses.fields(section):
            key, value = f"{name}.{field.name}", getattr(section, field.name)
            other = _OTHER_NAMES.get(key, key).rpartition(".")[2]
            if key in _INNER or value is None or value == () or {field.name, other} & set(said):
                continue
            yield key, value
    if "clip_grad_norm" not in tree:
        yield "clip_grad_norm.max_norm", config.max_norm
    if not {"seed", "rng"} & set(tree):
        yield "seed", config.seed
