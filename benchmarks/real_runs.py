"""Real runs that nothing was tuned on: a tiny model really trained, well and with one fault.

    python benchmarks/real_runs.py [--only NAME] [--show] [--python PYTHON-WITH-TORCH]

Half of the runs are made by our trainer and half by transformers' Trainer, at two methods, four
data sets, several schedules, batches and logging intervals. Ended and started again it makes only
what is missing. A run is labelled by what HAPPENED, beside the good run of its family: a rate
three times too high that trains well is healthy. Data sets other than our own are read from
../shared/data. Writes benchmarks/results/real_runs.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "benchmarks" / "cache" / "real_runs"
RESULT = ROOT / "benchmarks" / "results" / "real_runs.md"
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

FAMILIES: dict[str, dict[str, Any]] = {
    "ours-lora": {"trainer": "ours", "method": "lora", "data": "instructions", "lr": 4e-3,
                  "rows": 600, "batch": 16, "steps": 75},
    "ours-full": {"trainer": "ours", "method": "full", "data": "instructions", "lr": 1e-3,
                  "rows": 600, "batch": 16, "steps": 75},
    "ours-dolly": {"trainer": "ours", "method": "lora", "data": "dolly", "lr": 4e-3,
                   "rows": 600, "batch": 8, "steps": 75},
    "hf-dolly": {"trainer": "hf", "method": "full", "data": "dolly", "lr": 5e-4,
                 "rows": 700, "batch": 8, "steps": 90},
    "hf-gsm8k": {"trainer": "hf", "method": "lora", "data": "gsm8k", "lr": 3e-3,
                 "rows": 640, "batch": 8, "steps": 80},
    "hf-alpaca": {"trainer": "hf", "method": "lora", "data": "alpaca", "lr": 3e-3,
                  "rows": 640, "batch": 8, "steps": 80},
    "hf-words": {"trainer": "hf", "method": "full", "data": "instructions", "lr": 5e-4,
                 "rows": 600, "batch": 16, "steps": 100},
}  # fmt: skip
COMMON: dict[str, Any] = {"schedule": "cosine", "evals": 5, "every": 1, "seed": 7, "fault": "",
                          "with_args": True, "times": 1.0, "options": {}}  # fmt: skip

JOBS: list[tuple[str, str, dict[str, Any]]] = [
    # family, name, what differs from the family's good run
    ("ours-lora", "good", {}),
    ("ours-lora", "good-constant", {"schedule": "constant", "evals": 0}),
    ("ours-lora", "good-linear-long", {"schedule": "linear", "steps": 150, "batch": 8}),
    ("ours-lora", "good-batch64", {"batch": 64, "steps": 60}),
    ("ours-lora", "rate-thousandth", {"times": 1e-3}),
    ("ours-lora", "rate-hundredth", {"times": 1e-2, "schedule": "constant"}),
    ("ours-lora", "rate-x3", {"times": 3}),
    ("ours-lora", "rate-x30", {"times": 30}),
    ("ours-lora", "rate-x300", {"times": 300, "evals": 0}),
    ("ours-lora", "many-epochs", {"rows": 48, "steps": 150, "evals": 15}),
    ("ours-lora", "shuffled", {"fault": "shuffled"}),
    ("ours-lora", "leaked", {"fault": "leaked", "rows": 60, "steps": 100}),
    ("ours-lora", "batch1", {"batch": 1, "steps": 150}),
    ("ours-lora", "too-short", {"steps": 14, "evals": 2, "schedule": "constant"}),
    ("ours-full", "good", {}),
    ("ours-full", "good-batch4", {"batch": 4, "steps": 120, "times": 0.5}),
    ("ours-full", "rate-hundredth", {"times": 1e-2}),
    ("ours-full", "rate-x10", {"times": 10}),
    ("ours-full", "rate-x100", {"times": 100}),
    ("ours-full", "rate-x100-short", {"times": 100, "steps": 9, "evals": 0}),
    ("ours-full", "rate-x1000", {"times": 1000, "evals": 0}),
    ("ours-full", "many-epochs", {"rows": 32, "steps": 120, "evals": 12}),
    ("ours-full", "no-warmup-no-clip", {"times": 10, "options": {
        "lr_scheduler.lr_warmup_steps": 0, "clip_grad_norm.max_norm": 1e9}}),
    ("ours-full", "ends-early", {"options": {"lr_scheduler.lr_decay_steps": 20}}),
    ("ours-dolly", "good", {}),
    ("ours-dolly", "rate-thousandth", {"times": 1e-3, "evals": 0}),
    ("ours-dolly", "rate-x100", {"times": 100}),
    ("hf-dolly", "good", {}),
    ("hf-dolly", "good-every5", {"every": 5, "with_args": False, "schedule": "linear"}),
    ("hf-dolly", "good-constant", {"schedule": "constant", "evals": 0}),
    ("hf-dolly", "rate-thousandth", {"times": 1e-3}),
    ("hf-dolly", "rate-x10", {"times": 10, "schedule": "constant"}),
    ("hf-dolly", "rate-x30", {"times": 30, "every": 5}),
    ("hf-dolly", "rate-x1000", {"times": 1000, "every": 10, "evals": 0}),
    ("hf-dolly", "rate-x1000-noargs", {"times": 1000, "with_args": False}),
    ("hf-dolly", "many-epochs", {"rows": 40, "steps": 100, "evals": 10}),
    ("hf-dolly", "masked", {"fault": "masked", "steps": 30}),
    ("hf-dolly", "poisoned", {"fault": "poisoned"}),
    ("hf-dolly", "poisoned-unfiltered", {"fault": "poisoned", "every": 5,
                                         "options": {"logging_nan_inf_filter": False}}),
    ("hf-dolly", "overflow", {"fault": "overflow", "steps": 60}),
    ("hf-gsm8k", "good", {}),
    ("hf-gsm8k", "good-every10", {"every": 10, "steps": 160, "evals": 4}),
    ("hf-gsm8k", "frozen", {"fault": "frozen", "steps": 50}),
    ("hf-gsm8k", "rate-hundredth", {"times": 1e-2, "schedule": "constant"}),
    ("hf-gsm8k", "rate-x100", {"times": 100, "schedule": "linear"}),
    ("hf-gsm8k", "shuffled", {"fault": "shuffled"}),
    ("hf-alpaca", "good", {"evals": 0}),
    ("hf-alpaca", "good-batch2", {"batch": 2, "steps": 160, "times": 0.5}),
    ("hf-alpaca", "batch1-noargs", {"batch": 1, "steps": 120, "with_args": False, "evals": 0}),
    ("hf-alpaca", "reset", {"fault": "reset", "steps": 60, "schedule": "linear"}),
    ("hf-alpaca", "no-clip-x30", {"times": 30, "options": {"max_grad_norm": 1e9}}),
    ("hf-words", "good", {}),
    ("hf-words", "good-linear-warm", {"schedule": "linear", "options": {"warmup_steps": 10}}),
    ("hf-words", "rate-hundredth", {"times": 1e-2}),
    ("hf-words", "rate-x30", {"times": 30}),
    ("hf-words", "many-epochs", {"rows": 32, "steps": 150, "evals": 10, "every": 5}),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true", help="the full answer of each run")
    parser.add_argument("--python", default=sys.executable, help="one that has torch")
    parser.add_argument("--no-train", action="store_true", help="judge what is there")
    asked = parser.parse_args()
    jobs = [job for job in make_jobs() if asked.only in Path(job["folder"]).name]
    if not asked.no_train:
        train(jobs, asked.python)
    rows = [judge(job, asked.show) for job in jobs if _truth(job) is not None]
    write(rows, whole=not asked.only)


def make_jobs() -> list[dict[str, Any]]:
    jobs = []
    for family, name, more in JOBS:
        job = {**COMMON, **FAMILIES[family], **more, "family": family, "name": name}
        job["lr"] *= job["times"]
        jobs.append({**job, "folder": str(CACHE / f"{family}-{name}")})
    return jobs


def train(jobs: list[dict[str, Any]], python: str) -> None:
    if all(_truth(job) is not None for job in jobs):
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    todo = CACHE / "jobs.json"
    todo.write_text(json.dumps(jobs))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    words = [python, "-P", str(ROOT / "benchmarks" / "real_runs_train.py"), str(todo)]
    subprocess.run(words, check=True, env=env)


def _truth(job: dict[str, Any]) -> dict[str, Any] | None:
    path = Path(job["folder"]).with_suffix(".truth.json")
    return json.loads(path.read_text()) if path.exists() else None


def judge(job: dict[str, Any], show: bool) -> list[str]:
    """One row of the table: what happened, what we say, and whether that is right."""
    from real_runs_labels import demanded, is_right, outcome_of

    from advisor.cli.check import Answer
    from advisor.cli.check import show as print_answer
    from advisor.pipeline import Request, check_paths
    from advisor.rulebook import load_rules

    reports, failures = check_paths([Path(job["folder"])], load_rules(), Request())
    name = Path(job["folder"]).name
    if failures or len(reports) != 1:
        said = "; ".join(failure.message for failure in failures) or f"{len(reports)} runs"
        return [name, "", "", said, "", "no"]
    report = reports[0]
    good = outcome_of({**COMMON, "folder": str(CACHE / f"{job['family']}-good")})
    label, facts = demanded(job, outcome_of(job), good)
    if show:
        print(f"\n=== {name}: {label} | {facts} | truth {_truth(job)}")
        print_answer(Answer(reports, failures), "text", False)
    codes = [f"{f.code} {f.symptom}" for f in report.findings if f.severity != "info"]
    edits = [f"{e.key} {e.old} to {e.new}" if e.resolved else f"{e.key} {e.op} {e.operand}"
             for e in report.plan.edits if e.applies != "advice"]  # fmt: skip
    right = "yes" if is_right(label, report) else "no"
    return [name, facts, label, ", ".join(codes) or "silent", "; ".join(edits[:2]), right]


def write(rows: list[list[str]], whole: bool) -> None:
    head = ["run", "what happened", "label", "we say", "first edits", "right"]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    right = sum(row[-1] == "yes" for row in rows)
    text = "\n".join(["# Real runs, one fault each", "", *lines, "",
                      f"{right} of {len(rows)} are right."])  # fmt: skip
    print(text)
    if whole:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
