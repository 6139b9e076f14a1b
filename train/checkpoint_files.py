"""The files of a checkpoint, written whole or not at all, and the optimiser's state in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from train.errors import CheckpointError
from train.state_json import from_plain, to_plain

_TENSORS, _REST = "optimizer.safetensors", "optimizer.json"


def write_json(path: Path, value: object) -> None:
    """Write a value of JSON types."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what ``write_json`` wrote; CheckpointError if it is damaged or missing."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; resume from another checkpoint") from None
    except ValueError:
        raise CheckpointError(f"{path}: damaged; resume from another checkpoint") from None


def save_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write the state: tensors as safetensors, the rest as JSON."""
    folder.mkdir(parents=True)
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, dict[str, object]] = {}
    for index, held in state["state"].items():
        for name, value in held.items():
            if isinstance(value, torch.Tensor):
                # a copy: bitsandbytes shares one table between all weights, safetensors forbids it
                tensors[f"{index}.{name}"] = value.detach().to("cpu", copy=True).contiguous()
            else:
                rest.setdefault(str(index), {})[name] = to_plain(value)
    save_file(tensors, folder / _TENSORS)
    write_json(folder / _REST, {"state": rest, "param_groups": to_plain(state["param_groups"])})


def load_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Set the optimiser to a saved state."""
    said = read_json(folder / _REST)
    state: dict[int, dict[str, object]] = {}
    for index, held in said["state"].items():
        state[int(index)] = {name: from_plain(value) for name, value in held.items()}
    for key, tensor in _tensors(folder / _TENSORS).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = from_plain(said["param_groups"])
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}: does not fit the optimiser ({error}); resume with the config it was saved "
            "with, or start a new run"
        ) from None


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}; resume from another checkpoint") from None
    except Exception as error:  # safetensors' own error type is not public in all versions
        if type(error).__name__ != "SafetensorError":
            raise
        raise CheckpointError(f"{path}: damaged ({error}); resume from another one") from None


def sync(folder: Path) -> None:
    """Flush a folder and all its files to the disk."""
    for place, _, names in os.walk(folder):
        for name in [*names, ""]:
            descriptor = os.open(Path(place) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def replace_folder(new: Path, final: Path) -> None:
    """Move a finished folder to its name, replacing one that the run wrote before it was
    resumed."""
    if final.exists():
        old = final.with_name(f".{final.name}.old")
        final.rename(old)
        new.rename(final)
        shutil.rmtree(old)
    else:
        new.rename(final)
    sync_parent(final)


def recover(directory: Path) -> None:
    """Undo a ``replace_folder`` that a kill interrupted."""
    for old in directory.glob(".*.old"):
        final = old.with_name(old.name[1:].removesuffix(".old"))
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)


def remove_folder(path: Path) -> None:
    """Delete a folder; if killed meanwhile, leave none that looks whole."""
    gone = path.with_name(f".{path.name}.gone")
    path.rename(gone)
    shutil.rmtree(gone)


def sync_parent(path: Path) -> None:
    """Flush the folder's list of names to the disk."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point(link: Path, target: Path) -> None:
    """Point a link at a folder beside it, atomically."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    try:
        new.symlink_to(target.name)
    except OSError:  # a file system without links: the name in a text file says the same
        new.write_text(target.name + "\n", encoding="utf-8")
    new.replace(link)


def target_of(link: Path) -> Path | None:
    """Return the folder that a link made by ``point`` names; None if that is missing."""
    if link.is_symlink():
        target = link.parent / link.readlink()
    elif link.is_file():
        target = link.parent / link.read_text(encoding="utf-8").strip()
    else:
        return None
    return target if target.is_dir() else None
