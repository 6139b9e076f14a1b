"""A run by the project's own trainer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.gallery.families import Job
from benchmarks.gallery.models import BASES, ONE
from benchmarks.gallery.rows import mapping, width_of, write_rows

COLUMNS = "ColumnMappedTextInstructionDataset"
TARGET = f"nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset.{COLUMNS}"
STYLES = {"wsd": "WSD"}


def train(job: Job, folder: Path) -> dict[str, Any]:
    from train.launch import main as launch

    config = Path(f"{folder}.json")
    config.write_text(json.dumps(tree_of(job), indent=1))
    status = launch([str(config), "--run-dir", str(folder)], os.environ)
    rows, held = _lines(folder / "training.jsonl"), _lines(folder / "validation.jsonl")
    evals = [[row["step"], float(row["val_loss"])] for row in held]
    if not job["config"]:
        (folder / "config.yaml").unlink()
    return {
        "steps": [row["step"] for row in rows],
        "losses": [float(row["loss"]) for row in rows],
        "norms": [float(row["grad_norm"]) for row in rows],
        "rates": [float(row["lr"]) for row in rows],
        "evals": evals,
        "before": evals[0][1] if evals else None,
        "after": evals[-1][1] if evals else None,
        "ended": "" if status == 0 else f"status {status}",
    }


def tree_of(job: Job) -> dict[str, Any]:
    """The config of the run, as a user would write it."""
    steps, schedule = job["steps"], job["schedule"]
    plan: dict[str, Any] = {
        "lr_decay_style": STYLES.get(schedule, schedule),
        "lr_warmup_steps": round(job["warmup"] * steps),
    }
    if schedule == "wsd":
        plan["wsd_decay_steps"] = steps // 5
    if "end" in job["lr_options"]:
        plan["lr_decay_steps"] = round(job["lr_options"]["end"] * steps)
    tree: dict[str, Any] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": str(BASES[job["arch"]]),
        },
        "dataset": _dataset(job, "train"),
        "optimizer": {
            "_target_": "torch.optim.AdamW", "lr": job["lr"], "weight_decay": job["decay"],
        },
        "lr_scheduler": plan,
        "step_scheduler": {
            "global_batch_size": job["batch"], "local_batch_size": job["batch"],
            "num_epochs": -(-steps * job["batch"] // job["rows"]), "max_steps": steps,
            "ckpt_every_steps": max(10, steps),
        },
        "checkpoint": {"keep_last": 1},
        "clip_grad_norm": {"max_norm": job["clip"] or None},
        "seed": job["seed"],
        "advisor": "off",  # the answer must not lie in the question
    }  # fmt: skip
    if job["evals"]:
        tree["validation_dataset"] = _dataset(job, "val")
        tree["validation_dataloader"] = {"batch_size": width_of(job).held}
        tree["step_scheduler"]["val_every_steps"] = max(1, steps // job["evals"])
    return {**tree, **_method(job), **job["options"]}


def _dataset(job: Job, split: str) -> dict[str, Any]:
    leaked = job["rows_fault"] == "leaked" and split == "val"
    return {
        "_target_": TARGET,
        "path_or_dataset_id": str(write_rows(job, "train" if leaked else split)),
        "column_mapping": mapping(job),
        "answer_only_loss_mask": job["code_fault"] != "prompt" or split == "val",
        "limit_dataset_samples": width_of(job).held if split == "val" else job["rows"],
    }


def _method(job: Job) -> dict[str, Any]:
    if job["method"] == "full":
        return {}
    peft: dict[str, Any] = {"dim": job["rank"], "alpha": job["alpha"], "dropout": 0.0}
    if job["targets"] == "all":
        peft["match_all_linear"] = True
    else:
        peft["target_modules"] = [ONE[job["arch"]]]
    if job["method"] == "lora":
        return {"peft": peft}
    return {"peft": peft, "quantization": {
        "load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32",
    }}  # fmt: skip


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
