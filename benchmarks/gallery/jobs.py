"""Every run of the gallery as data: good runs, and faults one knob away from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.gallery.families import CACHE, Job, choose, families, number
from benchmarks.gallery.wide import wide_jobs


@dataclass(frozen=True, slots=True)
class Knob:
    """One change of a good job. ``where``: words that its families have, "ours|hf full"."""

    name: str
    change: dict[str, Any]
    where: str = ""
    runs: int = 5


ANY = "ours|hf|loop"
OWN = "hf|loop"  # trainers whose inside the gallery can reach
KNOBS: tuple[Knob, ...] = (
    Knob("rate-hundredth", {"times": 1 / 100}, ANY, 6),
    Knob("rate-thirtieth", {"times": 1 / 30}, ANY, 6),
    Knob("rate-tenth", {"times": 1 / 10}, ANY),
    Knob("rate-x3", {"times": 3}, ANY),
    Knob("rate-x10", {"times": 10}, ANY, 6),
    Knob("rate-x30", {"times": 30}, ANY, 6),
    Knob("rate-x100", {"times": 100}, ANY, 6),
    Knob("rate-x1000", {"times": 1000, "evals": 3}, ANY),
    Knob("no-warmup", {"times": 12, "warmup": 0.0}, "ours|hf|loop"),
    Knob("no-clipping", {"times": 12, "clip": 0.0}, ANY),
    Knob("batch-one", {"batch": 1, "steps": 120}, "ours|hf lora|full"),
    Knob("batch-huge", {"batch": 64, "steps": 9, "times": 0.25}, "ours|hf lora|full"),
    Knob("many-epochs", {"rows": 40, "steps": 90, "evals": 9}, "ours|hf lora|full", 7),
    Knob("decay-none", {"decay": 0.0}, "ours|hf full"),
    Knob("decay-far-too-much", {"decay": 150.0}, "ours|hf|loop full"),
    Knob("rank-one", {"rank": 1, "alpha": 1}, "lora|qlora ours|hf"),
    Knob("rank-huge", {"rank": 128, "alpha": 256, "rows": 60, "evals": 8}, "lora ours|hf"),
    Knob("alpha-huge", {"alpha": 2048}, "lora ours|hf|loop"),
    Knob("masked-all", {"code_fault": "masked-all", "steps": 40}, OWN),
    Knob("masked-part", {"code_fault": "masked-part"}, OWN),
    Knob("prompt-supervised", {"code_fault": "prompt"}, ANY),
    Knob("padding-supervised", {"code_fault": "padding"}, OWN),
    Knob("end-missing", {"code_fault": "no-end"}, OWN),
    Knob("end-masked", {"code_fault": "end-masked"}, "hf"),
    Knob("shuffled", {"rows_fault": "shuffled"}, ANY),
    Knob("corrupted", {"rows_fault": "corrupted"}, ANY),
    Knob("long-samples", {"rows_fault": "long"}, OWN),
    Knob("leaked-config", {"rows_fault": "leaked", "rows": 60}, "ours lora|full"),
    Knob("leaked", {"rows_fault": "leaked", "rows": 60, "steps": 80, "evals": 8}, OWN),
    Knob("duplicated", {"rows_fault": "duplicated", "steps": 80, "evals": 8}, "ours|hf lora|full"),
    Knob("pure-bf16", {"dtype": "bfloat16", "times": 1 / 60}, "hf|loop full"),
    Knob("frozen", {"step_fault": "frozen", "steps": 50}, "hf|loop lora"),
    Knob("targets-wrong", {"targets": "one"}, "ours|hf lora|qlora"),
    Knob("schedule-short", {"lr_options": {"end": 0.25}}, "ours|hf|loop"),
    Knob("schedule-per-rank", {"step_fault": "schedule-x4", "schedule": "linear"}, OWN),
    Knob("resume-new-optimizer", {"step_fault": "resume-new", "schedule": "linear"}, "hf|loop"),
    Knob("resume-jump", {"step_fault": "resume-hot", "schedule": "linear"}, "loop|hf"),
    Knob("resume-same-order", {"step_fault": "resume-order", "rows": 320, "every": 1,
                               "format": "console"}, "loop"),
    Knob("accumulation-summed", {"step_fault": "summed", "accumulate": 4, "batch": 2}, "loop", 6),
    Knob("head-new", {"step_fault": "new-head", "format": "console"}, "hf|loop full", 5),
    Knob("hidden-nan", {"step_fault": "poison"}, "hf"),
    Knob("nan-late", {"step_fault": "poison", "options": {"logging_nan_inf_filter": False}},
         "hf|loop"),
    Knob("too-short", {"steps": 14, "evals": 2, "schedule": "constant"}, "ours|hf|loop"),
    Knob("half-precision", {"dtype": "float16", "emulated": True}, "loop", 6),
    Knob("half-overflow", {"step_fault": "overflow", "emulated": True}, "hf|loop"),
    Knob("out-of-memory", {"step_fault": "oom", "format": "console", "emulated": True}, OWN, 6),
    Knob("out-of-memory-eval", {"step_fault": "oom-eval", "format": "console", "emulated": True},
         "hf|loop"),
    Knob("idle-gpu", {"step_fault": "idle", "emulated": True}, "loop", 5),
    Knob("data-stall", {"step_fault": "stall", "emulated": True}, "loop", 5),
)  # fmt: skip
GOOD: tuple[Knob, ...] = (
    Knob("good-linear", {"schedule": "linear"}, ANY, 10),
    Knob("good-constant", {"schedule": "constant", "times": 0.5}, ANY, 8),
    Knob("good-wsd", {"schedule": "wsd"}, "ours|loop", 6),
    Knob("good-rate-half", {"times": 0.5}, ANY, 8),
    Knob("good-rate-double", {"times": 2}, ANY, 8),
    Knob("good-no-warmup", {"warmup": 0.0}, ANY, 8),
    Knob("good-batch-one", {"batch": 1, "steps": 220, "times": 0.25, "evals": 5}, ANY, 6),
    Knob("good-batch-big", {"batch": 24, "steps": 26}, ANY, 5),
    Knob("good-sparse", {"every": 5, "steps": 120, "evals": 3}, ANY, 7),
    Knob("good-no-eval", {"evals": 0}, ANY, 7),
    Knob("good-log-alone", {"config": False, "evals": 4}, ANY, 7),
    Knob("good-short", {"steps": 24, "evals": 2, "times": 1.5}, ANY, 6),
    Knob("good-long", {"steps": 160, "evals": 8, "every": 2, "times": 0.6}, "ours|hf|loop", 5),
    Knob("good-epochs", {"rows": 200, "steps": 75, "times": 0.4}, "ours|hf lora|full", 6),
    Knob("good-by-length", {"options": {"train_sampling_strategy": "group_by_length"}}, "hf"),
    Knob("good-skips", {"step_fault": "skips", "emulated": True}, "loop", 5),
    Knob("good-outlier", {"step_fault": "outlier"}, OWN, 5),
    Knob("good-dpo", {"step_fault": "dpo", "steps": 50, "batch": 6, "times": 0.05}, "loop", 6),
    Knob("good-grpo", {"step_fault": "grpo", "steps": 36, "batch": 2, "times": 0.1}, "loop", 5),
)  # fmt: skip
_EVERY = (1, 1, 1, 2, 5)
_LOOP_FORMATS = ("csv", "jsonl", "console", "tensorboard")
_HF_FORMATS = ("state", "state", "console", "tensorboard", "state")


def make_jobs() -> list[Job]:
    """Return all jobs, a few of every kind first, so that an early stop leaves all kinds."""
    jobs: dict[str, Job] = {}
    for name in families():
        _add(jobs, Knob("good", {}), name, 0)
        jobs[f"{name}-good"]["seed"] = 7 + number(name) % 5
    ranked = [(i, knob, family) for knob in (*KNOBS, *GOOD)
              for i, family in enumerate(choose(knob.runs, knob.name, knob.where))]  # fmt: skip
    for i, knob, family in sorted(ranked, key=lambda entry: entry[0]):
        _add(jobs, knob, family, i)
    return [*jobs.values(), *wide_jobs()]


def _add(jobs: dict[str, Job], knob: Knob, family: str, turn: int) -> None:
    base = families()[family]
    name = f"{family}-{knob.name}"
    if name in jobs:
        name += f"-{turn}"
    salt = number(name)
    steps = {**base, **knob.change}["steps"]
    varied = {"seed": 1 + salt % 97, "format": _format(base["trainer"], salt // 7),
              "every": min(_EVERY[salt // 97 % 5], max(1, steps // 22))}  # fmt: skip
    job = {**base, **varied, **knob.change, "knob": knob.name, "id": name}
    if job["trainer"] == "ours":
        job["format"] = ""
    if job["trainer"] == "hf" and job["step_fault"].startswith("resume"):
        job["format"] = "state"  # what a console says of it are two runs
    job["lr"] = base["lr"] * job["times"]
    jobs[name] = {**job, "folder": str(CACHE / name)}


def _format(trainer: str, salt: int) -> str:
    if trainer == "ours":
        return ""
    formats = _HF_FORMATS if trainer == "hf" else _LOOP_FORMATS
    return formats[salt % len(formats)]
