"""The tasks of the grids, of data in ../shared/data: method, axes, and the config of a cell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import places
from benchmarks.places import PRESETS, SHARED_DATA

CACHE = places.CACHE / "tuning"
COLUMNS = "ColumnMappedTextInstructionDataset"
TARGET = f"nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset.{COLUMNS}"
LR, BATCH = "optimizer.lr", "step_scheduler.global_batch_size"
RANK, ALPHA, EPOCHS = "peft.dim", "peft.alpha", "step_scheduler.num_epochs"
HELD = 20  # rows of validation, and as many of the test split
EVALS = 4  # in a run of few epochs; every epoch ends with one

LORA_RATES = tuple(10 ** (-4.8 + 0.4 * i) for i in range(13))  # 1.6e-5 to 1
FULL_RATES = tuple(10 ** (-5.8 + 0.4 * i) for i in range(13))  # 1.6e-6 to 0.1


@dataclass(frozen=True)
class Task:
    """One grid: every combination of the values of its axes. ``start`` is a preset's way to begin:
    its own rate is put in the middle of what the guide recommends for the method."""

    name: str
    data: str
    fields: tuple[str, str, str]
    method: str
    rows: int
    axes: dict[str, tuple[float, ...]]
    frozen: dict[str, Any]
    length: int = 32  # characters of an answer

    def cells(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{}]
        for key, values in self.axes.items():
            found = [{**cell, key: value} for cell in found for value in values]
        return found


TASKS = {
    task.name: task
    for task in (
        Task("gsm8k", "gsm8k", ("question", "", "answer"), "lora", 72,
             {LR: LORA_RATES, BATCH: (2, 4, 8, 12), RANK: (1, 4, 16, 64)}, {EPOCHS: 1}),
        Task("alpaca", "alpaca", ("instruction", "", "output"), "lora", 24,
             {LR: LORA_RATES, BATCH: (2, 4, 8, 12), EPOCHS: (1, 2, 4, 8)}, {RANK: 16}),
        Task("dolly", "dolly", ("instruction", "", "response"), "full", 24,
             {LR: FULL_RATES, BATCH: (2, 4, 8, 12), EPOCHS: (1, 2, 4, 8)}, {}),
    )
}  # fmt: skip


def config_of(task: Task, values: dict[str, Any], seed: int, rows: dict[str, Path]) -> Any:
    """Return the config tree of one run; ``values`` are canonical keys."""
    question, context, answer = task.fields
    columns = {"question": question, "context": context, "answer": answer}

    def data(split: str) -> dict[str, Any]:
        return {
            "_target_": TARGET,
            "path_or_dataset_id": str(rows[split]),
            "column_mapping": {key: value for key, value in columns.items() if value},
        }

    batch, epochs = int(values[BATCH]), int(values.get(EPOCHS, 3))
    every = max(1, task.rows // batch * epochs // EVALS) if epochs < EVALS else None
    tree: dict[str, Any] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": str(PRESETS / "base"),
        },
        "dataset": data("train"), "validation_dataset": data("held"),
        "validation_dataloader": {"batch_size": HELD},
        "dataloader": {"drop_last": True},
        "optimizer": {"_target_": "torch.optim.AdamW", "weight_decay": 0.01},
        "lr_scheduler": {"lr_decay_style": "cosine"},
        "step_scheduler": {"local_batch_size": min(batch, 24), "ckpt_every_steps": 10**6,
                           "val_every_steps": every},
        "checkpoint": {"enabled": False}, "advisor": {"enabled": False},
        "safety": {"baseline_validation": False},
        "seed": seed,
    }  # fmt: skip
    if task.method == "lora":
        tree["peft"] = {"match_all_linear": True, "dim": 16, "alpha": 32, "dropout": 0.0}
        values = {ALPHA: 2 * int(values.get(RANK, 16)), **values}
    for key, value in values.items():
        section, _, name = key.partition(".")
        whole = isinstance(value, float) and value >= 1 and value == int(value) and key != LR
        tree.setdefault(section, {})[name] = int(value) if whole else value
    return tree


def write_rows(task: Task, folder: Path) -> dict[str, Path]:
    """Write the training rows, and the validation rows followed by the test rows."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, name, wanted in (("train", "", task.rows), ("held", ".val", 2 * HELD)):
        lines = (SHARED_DATA / f"{task.data}{name}.jsonl").read_text().splitlines()
        rows = [_short(json.loads(line), task) for line in lines]
        rows = [row for row in rows if row[task.fields[2]].strip()][:wanted]
        paths[split] = folder / f"{task.name}.{split}.jsonl"
        paths[split].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return paths


def _short(row: dict[str, Any], task: Task) -> dict[str, str]:
    question, context, answer = task.fields
    limits = ((question, 20), (context, 10), (answer, task.length))
    return {key: str(row.get(key, ""))[:limit] for key, limit in limits if key}
