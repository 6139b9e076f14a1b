"""States saved while the run was well, to roll back to: few, light, spread over the past.

    .good/step_40/   weights.safetensors, optim/, state.json

They hold what is trained and the optimiser, no tokenizer or config: a checkpoint is for people.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn import Parameter

from train.checkpoint_files import load_optimizer, read_json, save_optimizer, write_json
from train.errors import CheckpointError

FOLDER = ".good"
_MOST = 5
_WEIGHTS, _STATE, _OPTIM = "weights.safetensors", "state.json", "optim"


@dataclass(frozen=True, slots=True)
class SavedState:
    """A saved state: ``step`` is the first one taken from it, losses are in nats a token."""

    step: int
    train_loss: float | None = None
    val_loss: float | None = None


@dataclass(slots=True)
class SavedStates:
    """The saved states of one run; those of steps that were rolled back are dropped."""

    directory: Path
    parameters: Sequence[tuple[str, Parameter]]
    optimizer: torch.optim.Optimizer

    def keep(self, state: SavedState) -> None:
        """Write a state; OSError or CheckpointError where there is no room."""
        new = self._place(state.step).with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            held = {name: p.detach().to("cpu", copy=True) for name, p in self.parameters}
            save_file({k: v.contiguous() for k, v in held.items()}, new / _WEIGHTS)
            save_optimizer(self.optimizer, new / _OPTIM)
            write_json(new / _STATE, asdict(state))
        except Exception:
            shutil.rmtree(new, ignore_errors=True)
            raise
        shutil.rmtree(self._place(state.step), ignore_errors=True)
        new.rename(self._place(state.step))
        self._thin()

    def before(self, step: int) -> SavedState | None:
        """Return the newest state that was whole before a step."""
        found = [state for state in self.all() if state.step <= step]
        return found[-1] if found else None

    def load(self, state: SavedState) -> None:
        """Load the weights and the optimiser of a state."""
        place = self._place(state.step)
        held = load_file(place / _WEIGHTS)
        with torch.no_grad():
            for name, parameter in self.parameters:
                parameter.copy_(held[name])
        load_optimizer(self.optimizer, place / _OPTIM)

    def forget_after(self, step: int) -> None:
        """Drop the states of steps that will be repeated."""
        for state in self.all():
            if state.step > step:
                shutil.rmtree(self._place(state.step), ignore_errors=True)

    def all(self) -> list[SavedState]:
        """Return the states by step, without damaged ones."""
        found = []
        for path in self.directory.glob("step_*"):
            if path.suffix != ".new":
                try:
                    found.append(SavedState(**read_json(path / _STATE)))
                except (CheckpointError, TypeError):
                    continue
        return sorted(found, key=lambda state: state.step)

    def _place(self, step: int) -> Path:
        return self.directory / f"step_{step}"

    def _thin(self) -> None:
        """Remove states so that the first, the newest, and ever fewer older ones remain."""
        kept = self.all()
        while len(kept) > _MOST:
            newest = kept[-1].step
            spare = min(
                range(1, len(kept) - 1),
                key=lambda i: (kept[i + 1].step - kept[i - 1].step) / (newest - kept[i].step + 1),
            )
            shutil.rmtree(self._place(kept.pop(spare).step), ignore_errors=True)
