"""The trained weights on disk, in the formats of transformers and peft, restored to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn import Parameter

from train.errors import CheckpointError

_ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """Saves and loads the trained weights: an adapter, or the whole model in fp32.

    ``consolidated``: a whole model goes to a folder of that name, as AutoModel's
    save_consolidated does; the files are the same.
    """

    model: Any  # PreTrainedModel or PeftModel; both save_pretrained
    tokenizer: Any
    trainable: Sequence[tuple[str, Parameter]]
    consolidated: bool = False

    @property
    def _is_adapter(self) -> bool:
        return hasattr(self.model, "peft_config")

    def save(self, folder: Path) -> None:
        """Write a folder that transformers or peft can load."""
        place = folder / "consolidated" if self.consolidated and not self._is_adapter else folder
        place.mkdir(parents=True)
        self.model.save_pretrained(place)
        self.tokenizer.save_pretrained(place)

    def load(self, folder: Path) -> None:
        """Load the trained weights from a folder."""
        place = folder / "consolidated" if (folder / "consolidated").is_dir() else folder
        if self._is_adapter:
            self._load_adapter(place)
        else:
            self._load_whole(place)

    def size(self) -> int:
        """Return about how many bytes ``save`` writes."""
        kept = self.model.parameters() if not self._is_adapter else (p for _, p in self.trainable)
        return sum(4 * p.numel() for p in kept)

    def _load_adapter(self, folder: Path) -> None:
        from peft import set_peft_model_state_dict

        held = _read(folder / _ADAPTER)
        try:
            found: Any = set_peft_model_state_dict(self.model, held)
        except RuntimeError as error:  # shapes that differ, one a line
            raise CheckpointError(_misfit(folder, str(error).split("\n")[-1].strip())) from None
        trained = {name for name, _ in self.trainable}
        strange = [*found.unexpected_keys, *(k for k in found.missing_keys if k in trained)]
        if strange:
            raise CheckpointError(_misfit(folder, strange[0]))

    def _load_whole(self, folder: Path) -> None:
        files = sorted(folder.glob("*.safetensors"))
        held: Mapping[str, torch.Tensor] = {
            name: tensor for path in files for name, tensor in _read(path).items()
        }
        if not all(name in held for name, _ in self.trainable):
            held = self._under_our_names(folder)
        with torch.no_grad():
            for name, parameter in self.trainable:
                parameter.copy_(_fitting(held, name, parameter, folder))

    def _under_our_names(self, folder: Path) -> Mapping[str, torch.Tensor]:
        """Let transformers load a file in which it renamed or tied weights."""
        whole = type(self.model).from_pretrained(folder, dtype=torch.float32)
        return dict(whole.named_parameters(remove_duplicate=False))


def _fitting(
    held: Mapping[str, torch.Tensor], name: str, parameter: Parameter, folder: Path
) -> torch.Tensor:
    found = held.get(name)
    if found is None:
        raise CheckpointError(_misfit(folder, f"'{name}' is not there"))
    if found.shape != parameter.shape:
        shapes = f"{tuple(found.shape)}, not {tuple(parameter.shape)}"
        raise CheckpointError(_misfit(folder, f"'{name}' has the shape {shapes}"))
    return found


def _misfit(folder: Path, what: str) -> str:
    return f"{folder}: does not fit the model ({what}); resume with the config it was saved with"


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except Exception as error:  # safetensors has an error type of its own, outside its interface
        raise CheckpointError(
            f"{path}: cannot be read ({error}); resume from another one"
        ) from None
