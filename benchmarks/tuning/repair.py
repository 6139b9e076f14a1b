"""Repairs single faults by real runs on ../shared/data, as `advise tune` does.

    python -m benchmarks.tuning.repair [--seeds 5] [--minutes M]

The strategy reruns a config with one fault. Each session begins with a good config of the tiny base
model and one fault, and makes real runs of what the strategy proposes. Resumable: a session that is
done is a row of benchmarks/cache/tuning/repaired.jsonl. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from advisor.tuning.choice import noise_of
from advisor.tuning.strategy import next_run as strategy
from advisor.tuning.trial import Limits, Stop, Trial, TrialProposal
from advisor.tuning.writing import changes_between
from benchmarks.tuning.grid import run, warm_up
from benchmarks.tuning.surface import diagnosed, start_of
from benchmarks.tuning.tasks import ALPHA, BATCH, CACHE, EPOCHS, LR, RANK, TASKS, write_rows

TASK = TASKS["alpaca"]
GOOD: dict[str, Any] = {LR: 6e-3, BATCH: 4, EPOCHS: 4, RANK: 16, ALPHA: 32}
WARMUP, CLIP = "lr_scheduler.lr_warmup_steps", "clip_grad_norm.max_norm"
FAULTS: dict[str, dict[str, Any]] = {
    "rate x 0.01": {LR: 6e-5},
    "rate x 0.03": {LR: 1.8e-4},
    "rate x 10": {LR: 6e-2},
    "rate x 30": {LR: 0.18},
    "rate x 100": {LR: 0.6},
    "one epoch": {EPOCHS: 1},
    "16 epochs": {EPOCHS: 16},
    "batch of 1": {BATCH: 1},
    "the whole set as one batch": {BATCH: 24},
    "weight decay 10": {"optimizer.weight_decay": 10.0},
    "rank 1": {RANK: 1, ALPHA: 2},
    "alpha of 64 ranks": {ALPHA: 1024},
    "dropout 0.7": {"peft.dropout": 0.7},
    "warm-up as long as the run": {WARMUP: 24},
    "no warm-up at ten times the rate": {WARMUP: 0, LR: 6e-2},
    "no clipping at ten times the rate": {CLIP: 1e9, LR: 6e-2},
}
RERUNS = 3
OUT = CACHE / "repaired.jsonl"


@dataclass
class Bench:
    """One session: the config that it began with, and what was run."""

    seed: int
    rows: dict[str, Path]
    point: dict[str, Any]
    values: dict[str, object] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)

    def run(self, proposal: TrialProposal) -> None:
        point = {
            **self.point,
            **{c.key: c.new for c in changes_between(self.values, proposal.values)},
        }
        keys = {**point, **_cut(point, proposal.max_steps)}
        line = run(TASK, keys, self.seed, self.rows, CACHE / "repair")
        line = {**line, "values": point, "seed": self.seed}
        self.lines.append(line)
        if not line["loss"]:  # a config that the trainer refuses is a result too
            self.trials.append(
                Trial(len(self.trials) + 1, proposal.values, proposal.kind, "crashed")
            )
            return
        trial = diagnosed(TASK, line, len(line["loss"]), proposal.kind)
        self.trials.append(replace(trial, number=len(self.trials) + 1, values=proposal.values))


def _cut(point: Mapping[str, Any], steps: int | None) -> dict[str, Any]:
    """Return what makes a run the first steps of the whole one: its schedule stays."""
    if steps is None:
        return {}
    total = max(1, TASK.rows // int(point[BATCH])) * int(point[EPOCHS])
    return {"step_scheduler.max_steps": steps, "lr_scheduler.lr_decay_steps": max(total, steps)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=1e9, help="CPU minutes at most")
    asked = parser.parse_args()
    warm_up()
    rows = write_rows(TASK, CACHE)
    done = _done()
    for seed in range(1, asked.seeds + 1):
        good = done.get(("good", seed)) or _keep(_session("good", {}, seed, rows, 0))
        done["good", seed] = good
        for fault, change in FAULTS.items():
            if (fault, seed) in done:
                continue
            spent = os.times()
            if spent.children_user + spent.children_system > 60 * asked.minutes:
                return
            row = _session(fault, change, seed, rows, RERUNS)
            _keep({**row, **_above(row, good["best"][0])})


def _done() -> dict[tuple[str, int], dict[str, Any]]:
    if not OUT.exists():
        return {}
    rows = [json.loads(line) for line in OUT.read_text().splitlines()]
    return {(row["fault"], row["seed"]): row for row in rows}


def _keep(row: dict[str, Any]) -> dict[str, Any]:
    with OUT.open("a") as out:
        out.write(json.dumps(row) + "\n")
    print(json.dumps({k: row[k] for k in row if k != "told"}), flush=True)
    return row


def _session(
    fault: str, change: dict[str, Any], seed: int, rows: dict[str, Path], reruns: int
) -> dict[str, Any]:
    bench = Bench(seed, rows, {**GOOD, **change})
    bench.run(TrialProposal({}, reason="the start"))
    start = start_of(TASK, bench.point, bench.lines[0])
    bench.values = start
    bench.trials[0] = replace(bench.trials[0], values=start)
    limits = Limits(runs=reruns + 1)
    while sum(t.kind == "full" for t in bench.trials) <= reruns:
        found = strategy.propose(bench.trials, start, limits, noise_of(bench.trials))
        if isinstance(found, Stop):
            break
        bench.run(found)
    best, costs, spent = [], [], 0.0
    for trial in bench.trials:
        spent += trial.tokens / max(1, bench.trials[0].tokens)
        if trial.kind == "full":
            low = math.inf if trial.best_val is None else trial.best_val
            best.append(min([low, *best[-1:]]))
            costs.append(round(spent, 2))
    told = [f"{t.kind} {t.values.get(LR)} {t.values.get(BATCH)} {t.values.get(EPOCHS)}"
            f" {t.values.get(RANK)}: {t.best_val} {t.reason}" for t in bench.trials]  # fmt: skip
    return {"fault": fault, "seed": seed, "best": best, "costs": costs, "told": told}


def _above(row: dict[str, Any], good: float) -> dict[str, float]:
    """Return how far above the good config it is at first, after one rerun and after three."""
    best = row["best"]
    return {"first": best[0] / good - 1, "one": best[min(1, len(best) - 1)] / good - 1,
            "three": best[-1] / good - 1, "cost": row["costs"][-1]}  # fmt: skip


if __name__ == "__main__":
    main()
