"""A rank of two, as a test starts it: worker.py TASK FOLDER RANK. Prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.train.advice.advised import Scripted, World, change
from tests.train.loop.standins import ListLoader, Setup, make_batch
from train.advice.decide import Decision
from train.config.types import StepConfig
from train.loop import TrainingLoop
from train.plan import plan_steps
from train.ranks.agreement import JoinedRanks
from train.ranks.heartbeat import Heartbeat
from train.ranks.lag import Timings
from train.ranks.reduce import AllReduce
from train.ranks.sharded import Sharded

STEPS = StepConfig(
    global_batch_size=2, local_batch_size=1, num_epochs=2, ckpt_every_steps=4, val_every_steps=2
)


def agree(folder: Path, rank: int) -> Any:
    ranks = JoinedRanks()
    wanted = Decision(kind="stop", code="LR007", text="it climbs \u2191") if rank == 0 else None
    first, then = ranks.agree(wanted), ranks.agree(None)
    return [first.plain() if first else None, then]


def lag(folder: Path, rank: int) -> Any:
    timings = Timings(every=5)
    told = []
    for step in range(40):
        slow = 0.2 if rank == 1 and step < 25 else 0.1
        told += [(step, each.rank, each.over) for each in timings.add(step, slow)]
    return told


def beat(folder: Path, rank: int) -> Any:
    """The second rank is killed by the test; the first says when it noticed."""
    store = dist.FileStore(str(folder / "beats"), 2)
    lost: list[int] = []
    with Heartbeat(store, rank, 2, lambda who, _: lost.append(who), interval=0.1, limit=1.0):
        (folder / f"ready-{rank}").touch()
        until = time.monotonic() + 60
        while not lost and time.monotonic() < until:
            time.sleep(0.05)
    return lost


def train(folder: Path, rank: int) -> Any:
    """A run of both, with a rollback that the first rank's Monitor asks for."""

    def sick() -> Scripted:
        return Scripted({7: [change(7, first_step=4)]})

    setup = Setup(steps=STEPS, validation=[make_batch([6, 7], 100)], dropout=0.0)
    world = World(folder / "run", [sick, Scripted], setup=setup)
    (folder / "run").mkdir(exist_ok=True)
    parts, kept = world.build()
    assert parts.recovery is not None
    parts.recovery.ranks = JoinedRanks()
    parts.stepper.reduce = AllReduce()
    parts.evaluator.reduce = AllReduce()
    assert parts.checkpoints is not None and parts.validation is not None
    if rank:
        parts.recovery.sink = None
        parts.checkpoints.writes = False
    loader: Any = Sharded(parts.train, rank, 2)
    plan = plan_steps(STEPS, loader.batches_per_epoch, ranks=2)
    held_out = Sharded(ListLoader(list(parts.validation)), rank, 2)
    most = JoinedRanks().most
    parts = replace(parts, train=loader, validation=held_out, plan=plan, rank=rank, most=most)
    TrainingLoop(parts).run()
    weights = torch.cat([p.detach().reshape(-1) for p in parts.stepper.model.parameters()])
    return {
        "weights": weights.tolist(),
        "losses": [r.loss for r in kept.steps],
        "steps": [r.step for r in kept.steps],
        "back": [e.details["to_step"] for e in kept.events("rollback")],
    }


def main(task: str, folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    if task != "beat":
        store = dist.FileStore(str(folder / "store"), 2)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=60)
        )
    print(json.dumps(globals()[task](folder, rank)), flush=True)
    if task != "beat":
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
