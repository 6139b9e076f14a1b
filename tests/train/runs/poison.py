"""A fault at chosen steps, as a broken kernel would make it: the weights become NaN.

A rate far too high would do as well on one processor, and end in finite losses on the next.
In this process by ``poisoned``; in one of its own by
``python -m tests.train.runs.poison 33,60 RUN_DIR CONFIG ...``.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs.launch import rows


def weights_to_nan(stepper: Any) -> None:
    import torch

    with torch.no_grad():
        stepper.parameters[0].fill_(math.nan)


def poisoned(
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    poison: Callable[[Any], None] = weights_to_nan,
    last: int = -1,
) -> None:
    """Call ``poison`` with the stepper before the steps from one to another, once each."""
    from train.step import Stepper

    real, taken = Stepper.step, {"count": 0}

    def take(self: Any, window: Any, lr: float) -> Any:
        if step <= taken["count"] <= max(step, last):
            poison(self)
        taken["count"] += 1
        return real(self, window, lr)

    monkeypatch.setattr(Stepper, "step", take)


def _poison_once_a_run(steps: list[int], run_dir: Path) -> None:
    """Each fault once, however often the run is killed and gone on with."""
    from train.step import Stepper

    real = Stepper.step

    def take(self: Any, window: Any, lr: float) -> Any:
        taken = max(rows(run_dir), default=-1) + 1
        for step in steps:
            done = run_dir / f"poisoned-{step}"
            if taken == step and not done.exists():
                done.touch()
                weights_to_nan(self)
        return real(self, window, lr)

    Stepper.step = take  # type: ignore[method-assign]


if __name__ == "__main__":
    from train.launch import main

    _poison_once_a_run([int(step) for step in sys.argv[1].split(",")], Path(sys.argv[2]))
    raise SystemExit(main(sys.argv[3:], os.environ))
