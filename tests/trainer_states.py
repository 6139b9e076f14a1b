"""Folders as Hugging Face's Trainer leaves them: states at the root and in checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, float]


def history(
    losses: Sequence[float], held: Mapping[int, float], lr: float = 1e-4, total: int = 0
) -> list[Row]:
    """Return the rows of a run that logs every second step; a ``total`` makes the rate fall."""
    rows: list[Row] = []
    for at, loss in enumerate(losses, 1):
        step = 2 * at
        rate = lr * (1 - step / total) if total else lr
        rows.append({"epoch": step / 12, "grad_norm": 1.0, "learning_rate": rate, "loss": loss,
                     "step": step})  # fmt: skip
        if step in held:
            rows.append({"epoch": step / 12, "eval_loss": held[step], "step": step})
    return rows


def write_state(folder: Path, rows: Sequence[Row], planned: int, **more: Any) -> Path:
    """Write a state as Trainer does: sorted keys, two spaces."""
    step = int(rows[-1]["step"])
    state = {
        "best_metric": None, "epoch": rows[-1]["epoch"], "global_step": step,
        "log_history": list(rows), "logging_steps": 2, "max_steps": planned,
        "num_train_epochs": planned // 12, "save_steps": 12, "train_batch_size": 4,
    }  # fmt: skip
    path = folder / "trainer_state.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**state, **more}, indent=2, sort_keys=True) + "\n")
    return path


def write_run(
    root: Path,
    rows: Sequence[Row],
    planned: int,
    at: float | None = None,
    done: bool = True,
) -> None:
    """Write a run's checkpoints (every 12 steps) and, where it is done, its state at the root."""
    written = []
    last = int(rows[-1]["step"])
    for step in range(12, last + 1, 12):
        part = [row for row in rows if row["step"] <= step]
        written.append(write_state(root / f"checkpoint-{step}", part, planned))
    if done:
        closing: Row = {"epoch": last / 12, "step": last, "train_loss": 2.0, "train_runtime": 9.0}
        written.append(write_state(root, [*rows, closing], planned))
    if at is not None:
        for path in written:
            os.utime(path, (at, at))


def falling(count: int, first: float = 3.0, by: float = 0.02) -> list[float]:
    """Return losses that fall, with a little noise that repeats."""
    return [first - by * i + 0.01 * ((i * 7) % 5 - 2) for i in range(count)]
