"""Longer runs over wider samples of the first model: five more families than the rest has time for.

Their rates, faults and lengths are those with which the advisor was tried first.
"""

from __future__ import annotations

from typing import Any

from benchmarks.gallery.families import CACHE, COMMON, Job

_OURS = {"warmup": 0.093, "wide": True}
_HF = {"warmup": 0.0, "decay": 0.0, "format": "state", "wide": True}
# architecture, data, method, trainer, rate, rows, batch, steps
_FAMILIES: tuple[tuple[str, str, str, float, int, int, int], ...] = (
    ("instructions", "lora", "ours", 4e-3, 600, 16, 75),
    ("instructions", "full", "ours", 1e-3, 600, 16, 75),
    ("dolly", "lora", "ours", 4e-3, 600, 8, 75),
    ("dolly", "full", "hf", 5e-4, 700, 8, 90),
    ("gsm8k", "lora", "hf", 3e-3, 640, 8, 80),
    ("alpaca", "lora", "hf", 3e-3, 640, 8, 80),
    ("instructions", "full", "hf", 5e-4, 600, 16, 100),
)
_UNFILTERED = {"options": {"logging_nan_inf_filter": False}}
# family, knob, what differs from the family's good run
_JOBS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("instructions-lora-ours", "good", {}),
    ("instructions-lora-ours", "good-constant", {"schedule": "constant", "evals": 0}),
    ("instructions-lora-ours", "good-linear",
     {"schedule": "linear", "steps": 150, "batch": 8}),
    ("instructions-lora-ours", "good-batch-big", {"batch": 64, "steps": 60}),
    ("instructions-lora-ours", "rate-thousandth", {"times": 1e-3}),
    ("instructions-lora-ours", "rate-hundredth", {"times": 1e-2, "schedule": "constant"}),
    ("instructions-lora-ours", "rate-x3", {"times": 3}),
    ("instructions-lora-ours", "rate-x30", {"times": 30}),
    ("instructions-lora-ours", "rate-x300", {"times": 300, "evals": 0}),
    ("instructions-lora-ours", "many-epochs", {"rows": 48, "steps": 150, "evals": 15}),
    ("instructions-lora-ours", "shuffled", {"rows_fault": "shuffled"}),
    ("instructions-lora-ours", "leaked", {"rows_fault": "leaked", "rows": 60, "steps": 100}),
    ("instructions-lora-ours", "batch-one", {"batch": 1, "steps": 120}),
    ("instructions-lora-ours", "too-short", {"steps": 14, "evals": 2, "schedule": "constant"}),
    ("instructions-full-ours", "good", {}),
    ("instructions-full-ours", "good-batch-small", {"batch": 4, "steps": 120, "times": 0.5}),
    ("instructions-full-ours", "rate-hundredth", {"times": 1e-2}),
    ("instructions-full-ours", "rate-x10", {"times": 10}),
    ("instructions-full-ours", "rate-x100", {"times": 100}),
    ("instructions-full-ours", "rate-x100-short", {"times": 100, "steps": 9, "evals": 0}),
    ("instructions-full-ours", "rate-x1000", {"times": 1000, "evals": 0}),
    ("instructions-full-ours", "many-epochs", {"rows": 32, "steps": 120, "evals": 12}),
    ("instructions-full-ours", "no-clipping", {"times": 10, "warmup": 0.0, "clip": 1e9}),
    ("instructions-full-ours", "schedule-short", {"lr_options": {"end": 0.267}}),
    ("dolly-lora-ours", "good", {}),
    ("dolly-lora-ours", "rate-thousandth", {"times": 1e-3, "evals": 0}),
    ("dolly-lora-ours", "rate-x100", {"times": 100}),
    ("dolly-full-hf", "good", {}),
    ("dolly-full-hf", "good-sparse", {"every": 5, "config": False, "schedule": "linear"}),
    ("dolly-full-hf", "good-constant", {"schedule": "constant", "evals": 0}),
    ("dolly-full-hf", "rate-thousandth", {"times": 1e-3}),
    ("dolly-full-hf", "rate-x10", {"times": 10, "schedule": "constant"}),
    ("dolly-full-hf", "rate-x30", {"times": 30, "every": 5}),
    ("dolly-full-hf", "rate-x1000", {"times": 1000, "every": 10, "evals": 0}),
    ("dolly-full-hf", "rate-x1000-bare", {"times": 1000, "config": False}),
    ("dolly-full-hf", "many-epochs", {"rows": 40, "steps": 100, "evals": 10}),
    ("dolly-full-hf", "masked-all", {"code_fault": "masked-all", "steps": 30}),
    ("dolly-full-hf", "hidden-nan", {"step_fault": "poison"}),
    ("dolly-full-hf", "nan-late", {"step_fault": "poison", "every": 5, **_UNFILTERED}),
    ("dolly-full-hf", "half-overflow", {"step_fault": "overflow", "steps": 60, "emulated": True}),
    ("gsm8k-lora-hf", "good", {}),
    ("gsm8k-lora-hf", "good-sparse", {"every": 10, "steps": 160, "evals": 4}),
    ("gsm8k-lora-hf", "frozen", {"step_fault": "frozen", "steps": 50}),
    ("gsm8k-lora-hf", "rate-hundredth", {"times": 1e-2, "schedule": "constant"}),
    ("gsm8k-lora-hf", "rate-x100", {"times": 100, "schedule": "linear"}),
    ("gsm8k-lora-hf", "shuffled", {"rows_fault": "shuffled"}),
    ("alpaca-lora-hf", "good", {"evals": 0}),
    ("alpaca-lora-hf", "good-batch-small", {"batch": 2, "steps": 160, "times": 0.5}),
    ("alpaca-lora-hf", "batch-one", {"batch": 1, "steps": 120, "config": False, "evals": 0}),
    ("alpaca-lora-hf", "resume-jump",
     {"step_fault": "resume-hot", "hotter": 3, "steps": 60, "schedule": "linear"}),
    ("alpaca-lora-hf", "no-clipping", {"times": 30, "clip": 1e9}),
    ("instructions-full-hf", "good", {}),
    ("instructions-full-hf", "good-linear", {"schedule": "linear", "warmup": 0.1}),
    ("instructions-full-hf", "rate-hundredth", {"times": 1e-2}),
    ("instructions-full-hf", "rate-x30", {"times": 30}),
    ("instructions-full-hf", "many-epochs", {"rows": 32, "steps": 150, "evals": 10, "every": 5}),
)  # fmt: skip


def wide_jobs() -> list[Job]:
    """Return the jobs of these families."""
    bases = {}
    for data, method, trainer, rate, rows, batch, steps in _FAMILIES:
        short = f"{data}-{method}-{trainer}"
        bases[short] = {
            **COMMON, **(_OURS if trainer == "ours" else _HF), "family": f"llama-{short}-wide",
            "arch": "llama", "data": data, "method": method, "trainer": trainer, "lr": rate,
            "rows": rows, "batch": batch, "steps": steps, "seed": 7,
        }  # fmt: skip
    jobs = []
    for family, knob, change in _JOBS:
        job = {**bases[family], **change, "knob": knob}
        name = f"{job['family']}-{knob}"
        job["lr"] *= job["times"]
        jobs.append({**job, "id": name, "folder": str(CACHE / name)})
    return jobs
