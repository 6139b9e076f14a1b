"""Fits a config to this machine: replaces what the machine lacks, and gives notice of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from train.config.load import Loaded
from train.errors import TrainConfigError


def fit_to_device(loaded: Loaded, has_gpu: bool) -> Loaded:
    """Return the config as this machine can run it; what is saved stays as it was written."""
    backend = loaded.config.distributed.backend
    if has_gpu or backend != "nccl":
        return loaded
    group = dataclasses.replace(loaded.config.distributed, backend="gloo")
    config = dataclasses.replace(loaded.config, distributed=group)
    said = "dist_env" in loaded.tree  # nobody asked for a default: no notice
    note = ("dist_env.backend: nccl needs a GPU, gloo is taken",) if said else ()
    return dataclasses.replace(loaded, config=config, notices=(*loaded.notices, *note))


def check_world(env: Mapping[str, str]) -> None:
    """Raise TrainConfigError if WORLD_SIZE promises processes that cannot find each other."""
    size = env.get("WORLD_SIZE", "1")
    if size == "1":
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not env.get(name)]
    if not size.isdecimal() or int(size[:10]) < 1 or missing:
        what = f"{missing[0]} is not set" if missing else "that is no number of processes"
        raise TrainConfigError(
            f"WORLD_SIZE is {size}, but {what}: "
            "start several processes with advise train --nproc-per-node N, or unset WORLD_SIZE"
        )
