"""Checkpoints: written beside their place and moved there whole, so that a kill leaves none half
written.

    epoch_0_step_49/
      config.yaml  losses.json  progress.json
      model/       the trained weights, as transformers and peft know them
      optim/       optimizer.safetensors, optimizer.json
      dataloader/  state.json, within an epoch
    LATEST, LOWEST_VAL   links to such folders

All is safetensors, JSON and YAML: nothing that is read back can run code. Random states are not
among it, for every step seeds its own (train.seeds).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from train.checkpoint_files import (
    load_optimizer,
    point,
    read_json,
    recover,
    remove_folder,
    replace_folder,
    save_optimizer,
    sync,
    target_of,
    write_json,
)
from train.errors import CheckpointError
from train.state_json import from_plain, to_plain

LATEST, LOWEST_VAL = "LATEST", "LOWEST_VAL"
_NAME = re.compile(r"epoch_(\d+)_step_(\d+)")
_SPARE = 1.1  # of the size of a checkpoint must be free on the disk


class Weights(Protocol):
    """The trained weights of a model, on disk as transformers or peft keep them."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...

    def size(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. ``step`` is the number of the next step, ``epoch`` the epoch it falls
    in."""

    step: int = 0
    epoch: int = 0
    parts: int = 1  # pieces of a micro-batch, after out of memory
    data: Mapping[str, object] = field(default_factory=dict)  # what the order depends on
    baseline: float | None = None  # validation loss before the first step
    lowest: float | None = None  # validation loss, of all evaluations since
    # what the advisor did
    lr_factor: float = 1.0  # of the whole schedule
    actions: int = 0  # rollbacks so far
    skipped_steps: int = 0  # whose batches were skipped by rollbacks
    back_from: int = -1  # the last step before the last rollback
    back_to: int = -1  # the step that it led to


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A checkpoint without weights and optimiser state. ``loader`` None: the data is at its
    start."""

    progress: Progress
    loader: Mapping[str, object] | None
    train_loss: float | None = None
    val_loss: float | None = None


@dataclass(slots=True)
class Checkpoints:
    """The checkpoints of one run directory."""

    directory: Path
    weights: Weights
    optimizer: torch.optim.Optimizer
    save_config: Callable[[Path], None]
    keep_last: int | None = None
    writes: bool = True  # of several processes one does; the others read

    def save(self, name: str, snapshot: Snapshot) -> Path:
        """Write a checkpoint, point the links to it, and remove old ones."""
        self.check_space()
        new = self.directory / f".{name}.new"
        shutil.rmtree(new, ignore_errors=True)
        final = self.directory / name
        try:
            self._write(new, snapshot)
            self._place(new, final, snapshot)
        except Exception as error:
            if not _is_of_the_disk(error):
                raise
            shutil.rmtree(new, ignore_errors=True)
            why = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"{self.directory}: the checkpoint {name} cannot be written: {why}; "
                "free space there or give another --checkpoint.checkpoint_dir"
            ) from None
        return final

    def _place(self, new: Path, final: Path, snapshot: Snapshot) -> None:
        replace_folder(new, final)
        point(self.directory / LATEST, final)
        if self._is_lowest(snapshot.val_loss):
            point(self.directory / LOWEST_VAL, final)
        self._thin()

    def _write(self, folder: Path, snapshot: Snapshot) -> None:
        folder.mkdir(parents=True)
        self.save_config(folder / "config.yaml")
        write_json(folder / "progress.json", to_plain(asdict(snapshot.progress)))
        losses = {"train_loss": snapshot.train_loss, "val_loss": snapshot.val_loss}
        write_json(folder / "losses.json", losses)
        if snapshot.loader is not None:
            (folder / "dataloader").mkdir()
            write_json(folder / "dataloader" / "state.json", to_plain(snapshot.loader))
        save_optimizer(self.optimizer, folder / "optim")
        self.weights.save(folder / "model")
        sync(folder)

    def _is_lowest(self, loss: float | None) -> bool:
        if loss is None or loss != loss:
            return False
        lowest = self.lowest()
        return lowest is None or loss <= lowest[1]

    def lowest(self) -> tuple[Path, float] | None:
        """Return the checkpoint with the lowest validation loss, and that loss."""
        folder = target_of(self.directory / LOWEST_VAL)
        loss = read_json(folder / "losses.json").get("val_loss") if folder else None
        return (folder, float(loss)) if folder and loss is not None else None

    def _thin(self) -> None:
        if self.keep_last is None:
            return
        named = {target_of(self.directory / link) for link in (LATEST, LOWEST_VAL)}
        kept = {folder.resolve() for folder in named if folder}
        spare = [each for each in self.all() if each.resolve() not in kept]
        stay = max(0, self.keep_last - 1)  # the latest counts
        for folder in spare[: max(0, len(spare) - stay)]:
            remove_folder(folder)

    def all(self) -> list[Path]:
        """Return the checkpoints by their steps."""
        found = [
            (int(m[2]), p) for p in _children(self.directory) if (m := _NAME.fullmatch(p.name))
        ]
        return [path for _, path in sorted(found)]

    def before(self, step: int) -> Path | None:
        """Return the newest checkpoint whose next step is ``step`` or an earlier one."""
        found = [
            folder for folder in self.all() if (m := _NAME.match(folder.name)) and int(m[2]) < step
        ]
        return found[-1] if found else None

    def abandon(self, step: int) -> list[str]:
        """Remove the checkpoints of steps after this one, except the one to keep as best."""
        best = target_of(self.directory / LOWEST_VAL)
        gone: list[str] = []
        for folder in self.all() if self.writes else ():
            name = _NAME.fullmatch(folder.name)
            late = name is not None and int(name[2]) > step
            if late and (best is None or folder.resolve() != best.resolve()):
                remove_folder(folder)
                gone.append(folder.name)
        return gone

    def check_space(self) -> None:
        """Raise CheckpointError if the disk has no room for one checkpoint."""
        needed = int(_SPARE * self.size())
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise CheckpointError(
                f"{self.directory}: a checkpoint needs {needed / 1e6:,.1f} MB, free are "
                f"{free / 1e6:,.1f} MB; make room, give another --checkpoint.checkpoint_dir, or "
                "set checkpoint.keep_last"
            )

    def size(self) -> int:
        """Return about how many bytes a checkpoint takes."""
        state = self.optimizer.state_dict()["state"]
        held = sum(
            value.numel() * value.element_size()
            for each in state.values()
            for value in each.values()
            if isinstance(value, torch.Tensor)
        )
        if not state:  # before the first step: two moments a weight, as Adam keeps them
            groups = self.optimizer.param_groups
            held = sum(8 * p.numel() for group in groups for p in group["params"])
        return held + self.weights.size()

    def find(self, wanted: str) -> Path:
        """Return the folder of a checkpoint, given by folder, name, or 'latest'."""
        recover(self.directory)
        if wanted not in ("latest", LATEST):
            for path in (Path(wanted), self.directory / wanted):
                if (path / "progress.json").is_file():
                    return path
            raise CheckpointError(f"{wanted}: no checkpoint of ours; {self._offer()}")
        named = target_of(self.directory / LATEST)
        found = named or next(reversed(self.all()), None)
        if found is None:
            raise CheckpointError(f"{self.directory}: no checkpoint to resume from; start it anew")
        return found

    def _offer(self) -> str:
        names = [path.name for path in self.all()][-3:]
        return f"there are {', '.join(names)}" if names else f"{self.directory} holds none"

    def load(self, folder: Path) -> Snapshot:
        """Load weights and optimiser from a checkpoint, and return the rest of it."""
        progress: dict[str, Any] = from_plain(read_json(folder / "progress.json"))
        state = folder / "dataloader" / "state.json"
        self.weights.load(folder / "model")
        load_optimizer(self.optimizer, folder / "optim")
        losses = read_json(folder / "losses.json")
        if self.writes:
            self._tidy(folder)
        return Snapshot(
            progress=Progress(**progress),
            loader=from_plain(read_json(state)) if state.is_file() else None,
            train_loss=losses.get("train_loss"),
            val_loss=losses.get("val_loss"),
        )

    def _tidy(self, folder: Path) -> None:
        """Remove what a kill left half written; new checkpoints come after ``folder``."""
        for path in _children(self.directory):
            if path.name.startswith(".epoch_") and path.suffix in (".new", ".gone"):
                shutil.rmtree(path)
        if folder.resolve().parent == self.directory.resolve():
            point(self.directory / LATEST, folder.resolve())


def _children(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir() and not path.is_symlink()]


def _is_of_the_disk(error: Exception) -> bool:
    """Return whether an error came from the disk; safetensors and tokenizers have their own errors
    for it."""
    return isinstance(error, OSError) or "(os error " in str(error)
