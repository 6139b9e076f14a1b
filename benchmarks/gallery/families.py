"""The families of the gallery: a base model, a data set, a method and a trainer that go well.

A job is one run as plain data. Every fault is one knob away from the good run of its family.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import places

CACHE = places.CACHE / "gallery"
Job = dict[str, Any]

HELD_DATA = {"medqa"}
HELD_OF_NEOX = {"gsm8k", "alpaca"}
COMMON: Job = {
    "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "decay": 0.01, "rank": 16, "alpha": 32,
    "targets": "all", "dtype": "float32", "accumulate": 1, "evals": 5, "every": 1, "times": 1.0,
    "format": "", "config": True, "rows_fault": "", "code_fault": "", "step_fault": "",
    "emulated": False, "lr_options": {}, "options": {}, "hotter": 6, "wide": False,
}  # fmt: skip
RATES = {"full": 1e-3, "lora": 4e-3, "qlora": 4e-3}

# architecture, data, method, trainer, rows, batch, steps
_FAMILIES: tuple[tuple[str, str, str, str, int, int, int], ...] = (
    ("llama", "instructions", "lora", "ours", 600, 8, 38),
    ("llama", "instructions", "full", "ours", 600, 8, 58),
    ("llama", "dolly", "lora", "ours", 320, 4, 51),
    ("llama", "codealpaca", "full", "ours", 280, 4, 44),
    ("llama", "dolly", "full", "hf", 700, 8, 48),
    ("llama", "gsm8k", "lora", "hf", 640, 8, 51),
    ("llama", "alpaca", "lora", "hf", 320, 4, 64),
    ("llama", "instructions", "full", "hf", 600, 8, 48),
    ("llama", "medqa", "lora", "hf", 300, 4, 38),
    ("llama", "instructions", "qlora", "hf", 400, 8, 29),
    ("llama", "dolly", "full", "loop", 640, 8, 44),
    ("llama", "gsm8k", "lora", "loop", 320, 4, 41),
    ("neox", "instructions", "full", "ours", 600, 8, 48),
    ("neox", "dolly", "lora", "ours", 320, 4, 64),
    ("neox", "medqa", "full", "ours", 600, 8, 51),
    ("neox", "alpaca", "lora", "ours", 320, 4, 58),
    ("neox", "codealpaca", "lora", "hf", 640, 8, 64),
    ("neox", "gsm8k", "full", "hf", 720, 8, 58),
    ("neox", "gsm8k", "lora", "ours", 560, 16, 35),
    ("neox", "alpaca", "full", "hf", 640, 8, 51),
    ("neox", "dolly", "qlora", "ours", 400, 8, 32),
    ("neox", "alpaca", "qlora", "hf", 400, 8, 29),
    ("neox", "dolly", "full", "loop", 640, 8, 51),
    ("neox", "gsm8k", "lora", "loop", 640, 8, 64),
    ("llama", "medqa", "full", "loop", 480, 8, 38),
)  # fmt: skip


def families() -> dict[str, Job]:
    """Return the good job of each family, by its name."""
    found = {}
    for arch, data, method, trainer, rows, batch, steps in _FAMILIES:
        name = f"{arch}-{data}-{method}-{trainer}"
        found[name] = {
            **COMMON, "family": name, "arch": arch, "data": data, "method": method,
            "trainer": trainer, "rows": rows, "batch": batch, "steps": steps,
            "lr": RATES[method], "seed": 7,
        }  # fmt: skip
    return found


def choose(count: int, salt: str, words: str) -> list[str]:
    """Return families that have one of the words of each group ("ours|hf full"), architectures
    in turn, in an order that the salt shuffles."""
    groups = [set(group.split("|")) for group in words.split()]
    fitting = [name for name in families() if all(set(name.split("-")) & g for g in groups)]
    ranked = sorted(fitting, key=lambda name: number(f"{salt}/{name}"))
    sides = [[n for n in ranked if n.startswith(arch)] for arch in ("llama", "neox")]
    mixed = [name for pair in _in_turn(*sides) for name in pair]
    return [mixed[i % len(mixed)] for i in range(count)]


def _in_turn(first: Sequence[str], second: Sequence[str]) -> list[list[str]]:
    longest = max(len(first), len(second))
    return [[side[i] for side in (first, second) if i < len(side)] for i in range(longest)]


def number(text: str) -> int:
    """A number that depends on the text alone, on every machine."""
    return zlib.crc32(text.encode())


def split_of(job: Mapping[str, Any]) -> str:
    """Held: a whole data set, and the second architecture on two more; nobody tunes on these."""
    far = job["arch"] == "neox" and job["data"] in HELD_OF_NEOX
    return "held" if job["data"] in HELD_DATA or far else "tune"
