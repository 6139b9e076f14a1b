"""A gallery of labelled real runs: tiny models really trained, well or with one fault.

    python benchmarks/gallery/make.py --python PYTHON-WITH-TORCH [--only TEXT ...] [--no-train]

About an hour of one CPU core; ended and started again it makes only what is missing. The runs
lie in benchmarks/cache/gallery, their labels in benchmarks/gallery/labels.jsonl, and a compact
set of both in tests/fixtures/gallery. Other data sets than our own are read from ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from gallery import compact, judging  # noqa: E402
from gallery.families import CACHE, Job  # noqa: E402
from gallery.jobs import make_jobs  # noqa: E402
from gallery.labels import label  # noqa: E402
from gallery.outcomes import outcome_of  # noqa: E402
from gallery.worker import truth_path  # noqa: E402

LABELS = ROOT / "benchmarks" / "gallery" / "labels.jsonl"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--only", nargs="*", default=[], help="runs whose name holds one of these")
    parser.add_argument("--no-train", action="store_true", help="label and judge what is there")
    parser.add_argument("--show", action="store_true", help="print what we say of each run")
    parser.add_argument("--compact", action="store_true", help="write tests/fixtures/gallery anew")
    parser.add_argument("--write", action="store_true", help="write labels.jsonl anew")
    asked = parser.parse_args()
    wanted = [job for job in make_jobs() if _asked(job, asked.only)]
    if not asked.no_train:
        train(wanted, asked.python)
    rows = label_all(make_jobs())
    if rows and asked.write:
        LABELS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if asked.compact:
        compact.write(rows)
    names = {job["id"] for job in wanted}
    judging.show([row for row in rows if row["id"] in names], CACHE, asked.show)


def _asked(job: Job, words: list[str]) -> bool:
    return not words or any(word in job["id"] for word in words)


def train(jobs: list[Job], python: str) -> None:
    if all(truth_path(job).exists() for job in jobs):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    todo = CACHE / "jobs.json"
    todo.write_text(json.dumps(jobs))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    worker = ROOT / "benchmarks" / "gallery" / "worker.py"
    subprocess.run([python, "-P", str(worker), str(todo)], check=True, env=env)


def label_all(jobs: list[Job]) -> list[Row]:
    """Label every run that is there and whose family has a good run."""
    truths = {job["id"]: json.loads(truth_path(job).read_text())
              for job in jobs if truth_path(job).exists()}  # fmt: skip
    sound = {name: truth for name, truth in truths.items() if not truth.get("failed")}
    rows = []
    for job in jobs:
        good = sound.get(f"{job['family']}-good")
        if job["id"] in sound and good and sound[job["id"]]["losses"]:
            rows.append(label(job, outcome_of(sound[job["id"]]), outcome_of(good)))
    for name in truths.keys() - sound.keys():
        print(f"not made: {name}: {truths[name]['failed']}")
    return rows


if __name__ == "__main__":
    main()
