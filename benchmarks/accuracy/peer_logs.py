"""The log of a labelled run as the peers can read it.

Their own format where the run has one. Where losses and validation lie in files of their own, or
in a format that few read, one trainer_state.json with the same points is written for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy.runs import Labelled
from benchmarks.peers.compare import SOURCES
from benchmarks.places import CACHE

if TYPE_CHECKING:
    from advisor.run import Run

NAMES = {
    "train/loss": "loss", "train/grad_norm": "grad_norm", "train/lr": "learning_rate",
    "eval/loss": "eval_loss",
}  # fmt: skip


def log_for_peers(run: Labelled) -> Path | None:
    """The file to hand to the peers; None where nobody reads the run."""
    if run.path.is_file():
        return run.path
    own = next((run.path / name for name in SOURCES if (run.path / name).exists()), None)
    return own or _rewritten(run)


def _rewritten(run: Labelled) -> Path | None:
    from advisor.errors import AdvisorError
    from advisor.readers.discover import read_runs

    try:
        read = read_runs(run.path)
    except AdvisorError:
        return None
    folder = CACHE / "accuracy" / "for_peers" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state_of(read[0])))
    return path


def state_of(run: Run) -> dict[str, object]:
    """The points of a run as transformers' Trainer writes them."""
    rows: list[dict[str, float | int]] = []
    for group in (("train/loss", "train/grad_norm", "train/lr"), ("eval/loss",)):
        by_step: dict[int, dict[str, float | int]] = {}
        for name in group:
            series = run.series.get(name)
            if series is None:
                continue
            for i, (step, value) in enumerate(zip(series.steps, series.values, strict=True)):
                row = by_step.setdefault(int(step), {"step": int(step)})
                row[NAMES[name]] = float(value)
                if series.epochs is not None:
                    row["epoch"] = float(series.epochs[i])
        rows += by_step.values()
    rows.sort(key=lambda row: row["step"])
    last = rows[-1]["step"] if rows else 0
    planned = run.facts.get("max_steps") or last
    return {"log_history": rows, "global_step": last, "max_steps": planned}
