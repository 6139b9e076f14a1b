"""The processes of a run that torchrun or a scheduler started: how they connect, and how they
end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch

from train.config.types import DistributedConfig
from train.errors import TrainConfigError
from train.ranks.agreement import Alone, JoinedRanks, Ranks
from train.ranks.heartbeat import Heartbeat
from train.ranks.lag import Timings
from train.ranks.lost import RankLost
from train.ranks.reduce import AllReduce, Reduce

LOOK_EVERY = 10  # steps between exchanges of timings
# The first rank writes checkpoints while the others wait for it: a minute is no sign of death.
_LEAST_MINUTES = 10.0
_FAILED, _LENGTH = "failed", 600


@dataclass(frozen=True, slots=True)
class World:
    """This process and the others. ``heartbeat`` tells of one that is gone on the first rank."""

    rank: int = 0
    size: int = 1
    ranks: Ranks = field(default_factory=Alone)
    reduce: Reduce | None = None
    timings: Timings | None = None
    heartbeat: Heartbeat | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def open_world(config: DistributedConfig, env: Mapping[str, str]) -> Iterator[World]:
    """Connect to the other processes; if this one fails, report why to the first."""
    size = int(env.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    import torch.distributed as dist

    rank = int(env["RANK"])
    _join(dist, config, env)
    store = _store(dist, env)
    heartbeat = Heartbeat(store, rank, size)
    who = _who(store, heartbeat)
    try:
        with heartbeat:
            yield World(
                rank, size, JoinedRanks(who=who), AllReduce(who=who), Timings(LOOK_EVERY, who=who),
                heartbeat,
            )  # fmt: skip
    except BaseException as error:
        if rank and not isinstance(error, RankLost):
            text = " ".join(str(error).split())[:_LENGTH] or type(error).__name__
            with suppress(RuntimeError):
                store.set(_FAILED, f"rank {rank}: {text}")
        raise
    dist.destroy_process_group()


def _join(dist: Any, config: DistributedConfig, env: Mapping[str, str]) -> None:
    backend = config.backend
    if torch.cuda.is_available():
        local, devices = int(env.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= devices:
            raise TrainConfigError(
                f"more processes than GPUs were started on this machine, which has {devices}: "
                f"use --nproc-per-node={devices}"
            )
        torch.cuda.set_device(local)
        backend = f"cpu:gloo,cuda:{config.backend}"
    minutes = max(_LEAST_MINUTES, config.timeout_minutes)
    try:
        dist.init_process_group(backend, timeout=timedelta(minutes=minutes))
    except (RuntimeError, ValueError) as error:
        first = str(error).split("\n")[0][:200]
        raise TrainConfigError(
            f"the processes cannot meet at {env.get('MASTER_ADDR')}:{env.get('MASTER_PORT')}: "
            f"{first}; start them with advise train --nproc-per-node N"
        ) from None


def _store(dist: Any, env: Mapping[str, str]) -> Any:
    """Return a client of its own: a thread uses it beside the group's."""
    found = dist.TCPStore(env["MASTER_ADDR"], int(env["MASTER_PORT"]), is_master=False)
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return dist.PrefixStore(f"ranks/{again}", found)


def _who(store: Any, heartbeat: Heartbeat) -> Callable[[], str]:
    """Return what says, on the first rank, why the others are gone."""

    def look() -> str:
        gone = heartbeat.silent()
        with suppress(RuntimeError):
            if store.check([_FAILED]):
                return f"{store.get(_FAILED).decode()}; the run ended with it"
        names = ", ".join(f"rank {each}" for each in gone) or "another process"
        return (
            f"{names} is gone (killed, out of memory, or its machine lost) and the run ended with "
            "it; what it learnt up to its last checkpoint is saved: go on with --resume"
        )

    return look
