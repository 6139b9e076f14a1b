"""A grid as something to tune on: values snap to the nearest cell, whose curves are replayed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from advisor.config.attach import with_log
from advisor.dialects import dialect_of
from advisor.pipeline import Request, judge_run
from advisor.rulebook.load import load_rules
from advisor.run import Config, Run, Series
from advisor.tuning.planning import read_start_values
from advisor.tuning.reading import trial_of
from advisor.tuning.trial import Trial, TrialProposal
from benchmarks.tuning.grid import load
from benchmarks.tuning.tasks import BATCH, Task, config_of

Cell = tuple[int, ...]  # an index an axis


@dataclass
class Surface:
    """One grid. ``lines`` holds for each cell its runs by seed; ``best`` the best mean of many."""

    task: Task
    lines: dict[Cell, dict[int, dict[str, Any]]] = field(default_factory=dict)
    residuals: list[tuple[float, float]] = field(default_factory=list)
    best: float = math.inf
    best_cell: Cell = ()
    base: float = 0.0
    said: dict[Any, Trial] = field(default_factory=dict)

    def cell_of(self, values: Mapping[str, object]) -> Cell:
        """Return the nearest cell, in log space; what is no axis is frozen."""
        return tuple(
            min(range(len(axis)), key=lambda i: abs(math.log(axis[i] / float(values[key]))))  # type: ignore[arg-type]
            for key, axis in self.task.axes.items()
        )

    def values_of(self, cell: Cell) -> dict[str, Any]:
        return {key: axis[i] for i, (key, axis) in zip(cell, self.task.axes.items(), strict=True)}


def load_surface(task: Task) -> Surface:
    surface = Surface(task)
    for line in load(task):
        if line["val"]:
            cell = surface.cell_of(line["values"])
            surface.lines.setdefault(cell, {})[line["seed"]] = line
    means = {}
    for cell, runs in surface.lines.items():
        if len(runs) >= 3:
            ends = [_end(run) for run in runs.values()]
            mean = np.mean(ends, axis=0)
            means[cell] = float(mean[0])
            wider = math.sqrt(len(ends) / (len(ends) - 1))
            surface.residuals += [(wider * (v - mean[0]), wider * (t - mean[1])) for v, t in ends]
    if not means:
        means = {cell: _end(next(iter(runs.values())))[0] for cell, runs in surface.lines.items()}
    surface.best_cell = min(means, key=means.__getitem__)
    surface.best = means[surface.best_cell]
    lowest = [run["val"][0] for cell, runs in surface.lines.items() for run in runs.values()
              if cell[0] == 0]  # fmt: skip
    surface.base = float(np.median(lowest)) if lowest else 10.0
    return surface


def _end(line: dict[str, Any]) -> tuple[float, float]:
    at = int(np.nanargmin(line["val"]))
    return line["val"][at], line["test"][at]


@dataclass
class World:
    """One draw of all that is random: which seed a cell's run has, and how far off it ends.

    The same cell gives the same run within a draw, whoever asks.
    """

    surface: Surface
    seed: int

    def line(self, cell: Cell) -> dict[str, Any]:
        runs = self.surface.lines[cell]
        rng = random.Random(f"{self.seed}:{cell}")
        line = runs[rng.choice(sorted(runs))]
        if len(runs) >= 3 or not self.surface.residuals:
            return line
        more = rng.choice(self.surface.residuals)
        learnt = (self.surface.base - min(line["val"])) / (self.surface.base - self.surface.best)
        share = min(max(learnt, 0.0), 1.0)  # what learns nothing ends the same each time
        val = [value + share * more[0] for value in line["val"]]
        test = [value + share * more[1] for value in line["test"]]
        return {**line, "val": val, "test": test, "shift": share * more[0]}

    def run(
        self, number: int, proposal: TrialProposal, hopeless: Callable[[Trial], str] | None = None
    ) -> Ran:
        """Make a run of the next values; ``hopeless`` looks at it ten times on its way."""
        cell = self.surface.cell_of(proposal.values)
        line = self.line(cell)
        steps = len(line["loss"])
        wider = self._wider(cell, proposal)
        asked = proposal.max_steps
        end = steps if asked is None else min(steps, max(1, round(asked / wider)))
        aborted = ""
        if hopeless is not None:
            looked = lambda trial: hopeless(_stretched(trial, wider))  # noqa: E731
            end, aborted = _watched(number, proposal, line, end, looked)
        trial = _stretched(self._judged(number, proposal, cell, line, end), wider)
        share = end / steps
        tokens = line["tokens"] * share
        status = "aborted" if aborted and trial.status == "finished" else trial.status
        held = zip(line["val_steps"], line["val"], line["test"], strict=True)
        kept = [(val, test) for step, val, test in held if step < end]
        val, test = min(kept, default=(math.inf, math.inf), key=lambda pair: pair[0])
        return Ran(replace(trial, status=status, tokens=int(tokens)), tokens, val, test, share)

    def steps_of(self, proposal: TrialProposal) -> float:
        """Return how many steps of the batch that is asked for a whole run takes."""
        cell = self.surface.cell_of(proposal.values)
        return len(self.line(cell)["loss"]) * self._wider(cell, proposal)

    def _wider(self, cell: Cell, proposal: TrialProposal) -> float:
        """Return by how much a cell's batch is larger than the one that was asked for."""
        asked = float(proposal.values[BATCH])  # type: ignore[arg-type]
        return float(self.surface.values_of(cell)[BATCH]) / asked

    def _judged(
        self, number: int, proposal: TrialProposal, cell: Cell, line: dict[str, Any], end: int
    ) -> Trial:
        seen = self.surface.said
        key = (cell, line["seed"], end, proposal.kind)
        if key not in seen:
            seen[key] = diagnosed(self.surface.task, line, end, proposal.kind)
        trial = seen[key]
        shift = line.get("shift", 0.0)
        best = None if trial.best_val is None else trial.best_val + shift
        return replace(trial, number=number, values=proposal.values, best_val=best,
                       val_losses=trial.val_losses + shift)  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a run gave: its Trial, its cost, and what its best checkpoint has on both splits."""

    trial: Trial
    tokens: float
    val: float
    test: float
    share: float


def _stretched(trial: Trial, wider: float) -> Trial:
    """Return a run as if it had taken the steps of the batch that was asked for."""
    if wider == 1:
        return trial
    ends = [np.maximum(1, np.round((steps + 1) * wider).astype(np.int64)) - 1
            for steps in (trial.loss_steps, trial.val_steps)]  # fmt: skip
    return replace(trial, loss_steps=ends[0], val_steps=ends[1])


def _watched(
    number: int, proposal: TrialProposal, line: dict[str, Any], end: int,
    hopeless: Callable[[Trial], str],
) -> tuple[int, str]:  # fmt: skip
    agreed = 0
    for tenth in range(1, 10):
        at = max(1, round(end * tenth / 10))
        why = hopeless(bare_trial(number, proposal, line, at))
        agreed = agreed + 1 if why else 0
        if agreed == 2:  # two looks in a row, as the loop has it
            return at, why
    return end, ""


def bare_trial(number: int, proposal: TrialProposal, line: dict[str, Any], end: int) -> Trial:
    """Return what a run has logged by a step, without a diagnosis."""
    pairs = [(s, v) for s, v in zip(line["val_steps"], line["val"], strict=True) if s < end]
    losses = np.array(line["loss"][:end])
    return Trial(
        number, proposal.values, proposal.kind,
        "finished" if np.isfinite(losses).all() else "nonfinite",
        np.array([s for s, _ in pairs], np.int64), np.array([v for _, v in pairs]),
        np.arange(len(losses)), losses, min((v for _, v in pairs), default=None),
    )  # fmt: skip


@cache
def rules() -> Any:
    return load_rules()


def diagnosed(task: Task, line: dict[str, Any], end: int, kind: Any) -> Trial:
    run = run_of(task, line, end)
    trial = trial_of(0, kind, {}, judge_run(run, rules(), Request()))
    status = "finished" if np.isfinite(line["loss"][:end]).all() else "nonfinite"
    return replace(trial, status=status)


def run_of(task: Task, line: dict[str, Any], end: int | None = None) -> Run:
    """Return a stored run as its log would be read."""
    end = len(line["loss"]) if end is None else end
    steps = np.arange(end)
    epochs = np.array(line["epoch"][:end], float)
    made: dict[str, Series] = {}
    for name, column in (
        ("train/loss", "loss"),
        ("train/grad_norm", "grad_norm"),
        ("train/lr", "lr"),
    ):
        made[name] = Series(name, steps, np.array(line[column][:end], float), epochs)
    each = np.full(end, line["tokens"] / len(line["loss"]))
    made["train/num_tokens_per_step"] = Series("train/num_tokens_per_step", steps, each, epochs)
    pairs = [(s, v) for s, v in zip(line["val_steps"], line["val"], strict=True) if s < end]
    if pairs:
        at = np.array([s for s, _ in pairs], np.int64)
        losses = np.array([v - line.get("shift", 0.0) for _, v in pairs])
        made["eval/loss"] = Series("eval/loss", at, losses)
    values = start_config(task, {**task.frozen, **line["values"]}, line["seed"])
    run = Run(
        "replay",
        "automodel",
        made,
        config=Config(values, dict.fromkeys(values, "config.yaml"), "automodel"),
    )
    return replace(run, config=with_log(run.config, run))


def start_config(task: Task, values: dict[str, Any], seed: int = 1) -> dict[str, object]:
    """Return the canonical values of a cell's config, as a reader of its file has them."""
    tree = config_of(task, values, seed, {"train": Path("train.jsonl"), "held": Path("held.jsonl")})
    tree["dataset"]["limit_dataset_samples"] = task.rows
    dialect = dialect_of("automodel")
    assert dialect is not None
    return dict(dialect.read(tree))


def start_of(task: Task, values: dict[str, Any], line: dict[str, Any]) -> dict[str, object]:
    """Return what the loop takes for the start's values: the trainer's defaults included."""
    config = start_config(task, {**task.frozen, **values})
    run = run_of(task, line)
    run = replace(
        run, config=with_log(Config(config, dict.fromkeys(config, "config.yaml"), "automodel"), run)
    )
    return read_start_values(run)
