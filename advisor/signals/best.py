"""The lowest loss of a run, for the header, rules, reports and comparisons alike."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from advisor.findings import Best
from advisor.run import Run, Series

_NUMBER = re.compile(r"(\d+)$")


def lowest(series: Series | None, zeros: bool = True) -> tuple[int, float] | None:
    """Return step and value of the lowest finite point as logged, the first of several.

    Without ``zeros``, values of exactly 0 do not count: in a training loss they are a NaN that the
    log hides, or labels that are all masked.
    """
    if series is None:
        return None
    good = np.isfinite(series.values)
    if not zeros:
        good &= series.values != 0
    if not good.any():
        return None
    i = int(np.argmin(np.where(good, series.values, np.inf)))
    return int(series.steps[i]), float(series.values[i])


def lowest_of(run: Run, name: str) -> tuple[int, float] | None:
    """Return the lowest point of a loss of the run."""
    return lowest(run.series.get(name), zeros=name != "train/loss")


def best_point(run: Run) -> Best | None:
    """Return the lowest validation loss, else the lowest training loss, with its checkpoint."""
    name = "eval/loss"
    found = lowest_of(run, name)
    if found is None:
        if run.facts.get("objective", "sft") != "sft":
            return None  # a lower loss is not better in preference or reward training
        name = "train/loss"
        found = lowest_of(run, name)
    if found is None:
        return None
    step, value = found
    return Best(name, step, value, *_checkpoint(run, step))


def _checkpoint(run: Run, step: int) -> tuple[str | None, int | None]:
    """Return the checkpoint to use and its step: the last one up to the lowest loss, else the first
    one after it."""
    checkpoints = run.facts.get("checkpoints")
    if isinstance(checkpoints, Mapping) and checkpoints:
        saved = {int(s): str(name) for s, name in checkpoints.items()}
        at = max((s for s in saved if s <= step), default=min(saved))
        return saved[at], at
    name = str(run.facts.get("best_checkpoint") or "")
    number = _NUMBER.search(name)
    at_step = run.facts.get("best_step") or (int(number[1]) if number else None)
    return (name, step) if name and at_step == step else (None, None)
