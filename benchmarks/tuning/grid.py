"""Computes the grids once, from ../shared/data: one real run of the tiny base model a cell.

    python -m benchmarks.tuning.grid [--task NAME] [--limit N] [--minutes M] [--seeds]

Runs one after the other, each in a process of its own, forked when torch is there. Ended and
started again it makes only what is missing. Curves go to benchmarks/cache/tuning/NAME.jsonl, a
line a run; --seeds adds four more seeds of the 20 best cells of each task.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import math
import os
import pkgutil
import random
import shutil
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.places import PRESETS, ROOT
from benchmarks.tuning.tasks import CACHE, TASKS, Task, config_of, write_rows

DATA = Path(__file__).resolve().parent / "data"
SEED, MORE_SEEDS, BEST = 1, (2, 3, 4, 5), 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="", help="only these, with commas between")
    parser.add_argument("--limit", type=int, default=10**6, help="at most so many runs")
    parser.add_argument("--minutes", type=float, default=1e9, help="CPU minutes of all in all")
    parser.add_argument("--seeds", action="store_true")
    parser.add_argument("--store", action="store_true", help="make none: put them into data/")
    asked = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if asked.store:
        store()
        return
    warm_up()
    end = os.times()
    limit = 60 * asked.minutes + end.children_user + end.children_system
    left = [_left(task, asked.seeds) for task in TASKS.values()
            if not asked.task or task.name in asked.task.split(",")]  # fmt: skip
    jobs = [job for group in zip_longest(*left) for job in group if job]
    rows = {task.name: write_rows(task, CACHE) for task in TASKS.values()}
    for number, (task, cell, seed) in enumerate(jobs[: asked.limit]):
        spent = os.times()
        if spent.children_user + spent.children_system > limit:
            return
        line = run(task, {**task.frozen, **cell}, seed, rows[task.name], CACHE / "run")
        line = {"values": cell, "seed": seed, **line}
        with (CACHE / f"{task.name}.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")
        low = min(line["val"], default=math.nan)
        name = f"{number + 1}/{len(jobs)} {task.name} {_words(cell)}"
        print(f"{name} best {low:.3f} {line['seconds']:.1f} s", flush=True)


def warm_up() -> None:
    """Import all that a run needs, once for all runs."""
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    for module in pkgutil.walk_packages([str(ROOT / "train")], "train."):
        if module.name != "train.__main__":  # all at once: sources may change while runs go on
            importlib.import_module(module.name)
    torch.set_num_threads(1)
    _load_once()


def _load_once() -> None:
    """Read weights and tokenizer here: a forked run has a copy of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = PRESETS / "base"
    options = {"use_safetensors": True, "output_loading_info": True}
    models = {dtype: AutoModelForCausalLM.from_pretrained(base, dtype=dtype, **options)
              for dtype in (torch.float32, torch.bfloat16)}  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(base)
    AutoModelForCausalLM.from_pretrained = lambda source, **given: models[given["dtype"]]
    AutoTokenizer.from_pretrained = lambda source, **given: tokenizer


def _left(task: Task, seeds: bool) -> list[tuple[Task, dict[str, Any], int]]:
    cells = task.cells()
    random.Random(0).shuffle(cells)  # so that a part of the grid already shows its shape
    jobs = [(cell, SEED) for cell in cells]
    if seeds:
        jobs += [(cell, seed) for seed in MORE_SEEDS for cell in best_cells(task)]
    done = {key_of(line["values"], line["seed"]) for line in load(task)}
    return [(task, *job) for job in jobs if key_of(*job) not in done]


def load(task: Task) -> list[dict[str, Any]]:
    """Return the runs that were made, else those that were stored with the project."""
    path = CACHE / f"{task.name}.jsonl"
    if path.exists():
        return [json.loads(line) for line in path.read_text().splitlines()]
    stored = DATA / f"{task.name}.jsonl.gz"
    if stored.exists():
        with gzip.open(stored, "rt") as file:
            return [json.loads(line) for line in file]
    return []


def store() -> None:
    """Put the runs beside the code, so that they can be replayed anywhere."""
    DATA.mkdir(exist_ok=True)
    for task in TASKS.values():
        text = "".join(json.dumps(line) + "\n" for line in load(task))
        (DATA / f"{task.name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def best_cells(task: Task) -> list[dict[str, Any]]:
    lines = [line for line in load(task) if line["seed"] == SEED and line["val"]]
    lines.sort(key=lambda line: min(line["val"]))
    return [line["values"] for line in lines[:BEST]]


def key_of(values: dict[str, Any], seed: int) -> str:
    return json.dumps([sorted((k, float(f"{v:.4g}")) for k, v in values.items()), seed])


def run(
    task: Task, values: dict[str, Any], seed: int, rows: dict[str, Path], folder: Path
) -> dict[str, Any]:
    """Make one run in a process of its own and return its curves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = folder / "config.json"
    config.write_text(json.dumps(config_of(task, values, seed, rows)))
    before = os.times()
    child = os.fork()
    if not child:
        _child(config, folder)
    os.waitpid(child, 0)
    after = os.times()
    seconds = after.children_user + after.children_system
    seconds -= before.children_user + before.children_system
    return {**_curves(folder), "seconds": round(seconds, 2)}


def _child(config: Path, folder: Path) -> None:
    with (folder / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        held: list[list[float]] = []
        status: object = "crashed"
        try:
            from train.launch import main as launch

            _watch_held_rows(held)
            status = launch([str(config), "--run-dir", str(folder / "run")], os.environ)
        finally:
            (folder / "held.json").write_text(json.dumps({"held": held, "status": status}))
            log.flush()
            os._exit(0)


def _watch_held_rows(found: list[list[float]]) -> None:
    """Evaluate the validation rows as ever, and note what the test rows behind them say."""
    import torch

    from train.evaluate import Evaluation, Evaluator

    def evaluate(self: Any, batches: Any, stopped: Any = None) -> Any:
        self.model.eval()
        with torch.no_grad():
            val, test = batches  # a batch each
            loss = float(self._sum(val)) / val.supervised
            lowest = loss < min((pair[0] for pair in found), default=math.inf)
            # a checkpoint that is not the lowest so far is never chosen
            other = float(self._sum(test)) / test.supervised if lowest else math.nan
        self.model.train()
        found.append([loss, other])
        return Evaluation(loss, val.supervised)

    Evaluator.evaluate = evaluate  # type: ignore[method-assign]


def _curves(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "held.json").read_text())
    steps = _lines(folder / "run" / "training.jsonl")
    evals = _lines(folder / "run" / "validation.jsonl")
    columns = {name: [_digits(line.get(name)) for line in steps]
               for name in ("loss", "grad_norm", "lr")}  # fmt: skip
    return {
        "status": told["status"],
        **columns,
        "epoch": [line.get("epoch") for line in steps],
        "tokens": sum(int(line.get("num_tokens_per_step") or 0) for line in steps),
        "val_steps": [line["step"] for line in evals if line["step"] >= 0],
        "val": [_digits(pair[0], 6) for pair in told["held"]],
        "test": [_digits(pair[1], 6) for pair in told["held"]],
    }


def _digits(value: Any, digits: int = 4) -> float:
    return float(f"{float('nan' if value is None else value):.{digits}g}")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _words(cell: dict[str, Any]) -> str:
    return " ".join(f"{key.rpartition('.')[2]}={value:.3g}" for key, value in cell.items())


if __name__ == "__main__":
    main()
