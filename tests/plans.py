"""Findings, Edits and runs from which plans are made."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from advisor.findings import Edit, Finding, Plan, Severity
from advisor.run import Run, Series

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
LR, EPOCHS = "optimizer.lr", "step_scheduler.num_epochs"
LOCAL, GLOBAL = "step_scheduler.local_batch_size", "step_scheduler.global_batch_size"


def finding(code: str, *edits: Edit, severity: Severity = "warning") -> Finding:
    return Finding(code, "name", "spikes", severity, 0.75, "message", edits=edits)


def times(key: str, by: float, **more: object) -> Edit:
    return Edit(key, "multiply", by, **more)  # type: ignore[arg-type]


def put(key: str, to: object, **more: object) -> Edit:
    return Edit(key, "set", to, **more)  # type: ignore[arg-type]


def run_of(format_: str = "transformers", lr: list[float] | None = None, **facts: object) -> Run:
    series = {}
    if lr is not None:
        steps = np.arange(1, len(lr) + 1, dtype=np.int64)
        series["train/lr"] = Series("train/lr", steps, np.array(lr, dtype=np.float64))
    return Run("run", format_, series, facts=facts)


def copied(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copy(FIXTURES / name, tmp_path))


def by_key(plan: Plan) -> dict[str, Edit]:
    return {edit.key: edit for edit in plan.edits}


def error(code: str, *edits: Edit) -> Finding:
    return finding(code, *edits, severity="error")


def info(code: str, *edits: Edit) -> Finding:
    return finding(code, *edits, severity="info")
