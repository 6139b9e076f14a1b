"""The compact set of the gallery that is kept with the tests: small logs, no text of the data.

At least one run of every fault, and a number of healthy ones of different kinds; the smallest of
each is taken. Columns that no rule reads are dropped, and folders of this machine are cut off.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gallery.families import CACHE
from benchmarks.places import ROOT

OUT = ROOT / "tests" / "fixtures" / "gallery"
HEALTHY, MOST = 18, 60_000  # runs; bytes of a run
DROPPED = ("timestamp", "tps_per_gpu", "mfu", "time_forward", "time_backward", "time_optimizer",
           "mem", "rows", "samples")  # fmt: skip
KEPT_FILES = ("training.jsonl", "validation.jsonl", "events.jsonl", "config.yaml", "config.json",
              "trainer_state.json", "args.json", "adapter_config.json", "train.log",
              "metrics.csv", "metrics.jsonl")  # fmt: skip
Row = Mapping[str, Any]


def write(rows: Sequence[Row]) -> None:
    """Copy the chosen runs and their labels; what was there goes."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    chosen = choose(rows)
    for row in chosen:
        copy_run(CACHE / row["id"], OUT / row["id"])
    (OUT / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chosen))


def choose(rows: Sequence[Row]) -> list[Row]:
    """Of every knob a visible run where there is one; then healthy runs of as many kinds."""
    sizes = {row["id"]: _size(CACHE / row["id"]) for row in rows}
    # Tests are looked at while rules are made: no held run may be among them.
    small = [r for r in rows if 0 < sizes[r["id"]] <= MOST and r["split"] == "tune"
             and r["format"] != "tensorboard"]  # fmt: skip
    ranked = sorted(small, key=lambda r: (not r["visible"], sizes[r["id"]]))
    knobs = dict.fromkeys(row["knob"] for row in rows if not row["knob"].startswith("good"))
    faulty = [next((r for r in ranked if r["knob"] == knob), None) for knob in knobs]
    found = [row for row in faulty if row is not None]
    healthy: dict[str, Row] = {}
    for row in sorted(small, key=lambda r: sizes[r["id"]]):
        if row["healthy"] and row["knob"].startswith("good"):
            healthy.setdefault(row["knob"], row)
    return found + list(healthy.values())[:HEALTHY]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def copy_run(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name not in KEPT_FILES:
            continue
        text = scrubbed(path.read_text(encoding="utf-8"))
        if path.suffix == ".jsonl":
            text = "".join(json.dumps(_kept(json.loads(line))) + "\n" for line in text.splitlines())
        if path.name == "trainer_state.json":
            text = json.dumps(json.loads(text))
        (target / path.name).write_text(text, encoding="utf-8")


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in DROPPED}


def scrubbed(text: str) -> str:
    """The text without the folders of the machine that made it."""
    text = text.replace(f"{CACHE}/", "").replace(f"{ROOT}/", "")
    return re.sub(r"/[\w./-]+/(?=site-packages/|python3)", "", text)
