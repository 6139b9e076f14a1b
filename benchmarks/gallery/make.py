"""A gallery of labelled real runs, good or with one fault; some rows are of ../shared/data.

    python -m benchmarks.gallery.make --python PYTHON-WITH-TORCH [--only TEXT ...] [--no-train]

About an hour of one CPU core; ended and started again it makes only what is missing. The runs
lie in benchmarks/cache/gallery, their labels in benchmarks/gallery/labels.jsonl, and a compact
set of both in tests/fixtures/gallery. Other data sets than our own are read from ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from benchmarks.gallery import compact, judging
from benchmarks.gallery.families import CACHE, Job
from benchmarks.gallery.jobs import make_jobs
from benchmarks.gallery.labels import label
from benchmarks.gallery.outcomes import outcome_of
from benchmarks.gallery.worker import truth_path
from benchmarks.places import BENCHMARKS, environment

LABELS = BENCHMARKS / "gallery" / "labels.jsonl"
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
    command = [python, "-P", "-m", "benchmarks.gallery.worker", str(todo)]
    subprocess.run(command, check=True, env=environment(HF_HUB_OFFLINE="1"))


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
