"""Runs of the trainer: in this process, and as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def run(config: Path, run_dir: Path, *overrides: str, resume: str | None = None) -> Any:
    """Train in this process; returns the Outcome."""
    from train.config.load import load_config
    from train.sft import run as fine_tune

    return fine_tune(load_config(config, overrides, {}), run_dir, resume)


def command(config: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "train", str(config), *words]


def environment() -> dict[str, str]:
    more = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **more}


def start(config: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(config, *words), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def rows(run_dir: Path, name: str = "training") -> dict[int, dict[str, Any]]:
    """The rows of a log by step; the last of a repeated step wins."""
    path = run_dir / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["step"]: row for row in map(json.loads, lines)}


def curve(run_dir: Path) -> list[tuple[int, float, float, float]]:
    """What must be equal to the bit."""
    found = rows(run_dir)
    return [(s, found[s]["loss"], found[s]["grad_norm"], found[s]["lr"]) for s in sorted(found)]


def events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run_dir / "events.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def advise(run_dir: Path) -> dict[str, Any]:
    """What `advise check` says of a run."""
    words = [sys.executable, "-m", "advisor", "check", str(run_dir), "--format", "json"]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
