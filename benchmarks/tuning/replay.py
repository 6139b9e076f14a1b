"""Replays tuning methods over the grids: the same starts, the same space, cost in tokens.

    python -m benchmarks.tuning.replay [--seeds 50] [--task NAME] [--methods 'ours,TPE'] [--show]

Needs numpy; Optuna and scipy for the methods that are compared. Every session is a row of
benchmarks/cache/tuning/replayed.jsonl; results.py makes benchmarks/results/tuning.md of them.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advisor.tuning.choice import best_of, is_better, noise_of
from benchmarks.tuning.methods import METHODS, PREFIXES, Session, begin
from benchmarks.tuning.surface import Ran, Surface, load_surface
from benchmarks.tuning.tasks import BATCH, CACHE, EPOCHS, LR, RANK, TASKS, Task

# What a person who knows this model begins with, and what the guide has for real ones.
DEFAULTS: dict[str, dict[str, float]] = {
    "gsm8k": {LR: 4e-3, BATCH: 8, RANK: 16},
    "alpaca": {LR: 4e-3, BATCH: 8, EPOCHS: 4},
    "dolly": {LR: 1e-3, BATCH: 8, EPOCHS: 4},
}
GUIDE = {"lora": 3e-5, "full": 2e-6}
TOLERANCE = 0.01
OUT = CACHE / "replayed.jsonl"


def starts_of(task: Task) -> dict[str, dict[str, float]]:
    """Return the points that tuning starts from: the defaults, and one thing wrong."""
    usual, third = DEFAULTS[task.name], list(task.axes)[2]
    found = {"default": usual, "guide's rate": {**usual, LR: GUIDE[task.method]}}
    found |= {f"lr x {by:g}": {**usual, LR: by * usual[LR]} for by in (0.01, 0.1, 10.0, 100.0)}
    found |= {"batch small": {**usual, BATCH: task.axes[BATCH][0]},
              "batch large": {**usual, BATCH: task.axes[BATCH][-1]}}  # fmt: skip
    name = third.rpartition(".")[2]
    for end in (task.axes[third][0], task.axes[third][-1]):
        found[f"{name} {end:g}"] = {**usual, third: end}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--task", default="")
    parser.add_argument("--methods", default="", help="some of: " + ", ".join(METHODS))
    parser.add_argument("--show", action="store_true", help="every run of every session")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds: give 1 or more")
    chosen = asked.methods.split(",") if asked.methods else list(METHODS)
    names = [name for name in TASKS if asked.task in name]
    out = asked.out
    kept = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    kept = [row for row in kept if row["ran"] not in chosen or row["task"] not in names]
    rows = list(replayed(names, chosen, asked.seeds, asked.show))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in [*kept, *rows]))


def replayed(
    names: list[str], methods: list[str], seeds: int, show: bool
) -> Iterator[dict[str, Any]]:
    for task in (TASKS[name] for name in names):
        surface = load_surface(task)
        for label, start in starts_of(task).items():
            for method in methods:
                for seed in range(seeds):
                    session = begin(surface, {**task.frozen, **start}, seed)
                    METHODS[method](session, random.Random(f"{method}:{seed}"))
                    if show:
                        _show(session, label)
                    for name, count in PREFIXES.get(method, {method: None}).items():
                        row = judged(surface, session.ran[:count], method.startswith("ours"))
                        yield {"task": task.name, "start": label, "seed": seed, "method": name,
                               "ran": method, **row}  # fmt: skip
            print(f"{task.name} {label}", flush=True)


def judged(surface: Surface, ran: list[Ran], hysteresis: bool) -> dict[str, Any]:
    """Return what a session reached: selected by validation, reported on validation and test."""
    first = ran[0]
    unit = first.tokens
    best = min(ran, key=lambda r: r.val)
    if hysteresis:  # the loop keeps the start where the gain is within noise
        trials = [r.trial for r in ran]
        found = best_of(trials)
        better = found is not None and is_better(found, trials[0], noise_of(trials))
        best = next(r for r in ran if r.trial is found) if better else first
    spent, whole, near, runs = 0.0, 0, math.inf, math.inf
    for each in ran:
        spent += each.tokens
        whole += each.trial.kind == "full"
        within = each.val <= surface.best * (1 + TOLERANCE)
        if within and each.trial.kind == "full" and math.isinf(near):
            near, runs = spent / unit, whole
    return {
        "start_val": first.val / surface.best - 1, "val": best.val / surface.best - 1,
        "start_test": first.test, "test": best.test, "cost": spent / unit, "tokens": spent,
        "whole": whole, "runs": len(ran), "near_cost": near, "near_runs": runs,
        "after4": _after(surface, ran, 4),
    }  # fmt: skip


def _after(surface: Surface, ran: list[Ran], runs: int) -> float:
    """Return how far from the best the lowest of so many whole runs is."""
    whole = [each for each in ran if each.trial.kind == "full"][:runs]
    return min(each.val for each in whole) / surface.best - 1


def _show(session: Session, label: str) -> None:
    print(f"--- {session.surface.task.name} {label}")
    for each in session.ran:
        cell = session.surface.values_of(session.surface.cell_of(each.trial.values))
        where = " ".join(f"{value:.3g}" for value in cell.values())
        print(f"{each.trial.kind:5} {where:20} {each.share:4.0%} {each.val:.4f}"
              f" {each.trial.status} {each.trial.reason}")  # fmt: skip


if __name__ == "__main__":
    main()
