"""A run by transformers' Trainer, as its users call it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.gallery import console
from benchmarks.gallery.families import Job
from benchmarks.gallery.models import freeze, inflate, model_of, poison, tokenizer_of
from benchmarks.gallery.rows import collate, encoded

KEPT = ("learning_rate", "lr_scheduler_type", "per_device_train_batch_size", "max_steps",
        "gradient_accumulation_steps", "warmup_steps", "max_grad_norm", "weight_decay", "bf16",
        "logging_steps", "eval_strategy", "eval_steps", "seed", "num_train_epochs", "fp16",
        "logging_nan_inf_filter", "optim", "train_sampling_strategy")  # fmt: skip


def train(job: Job, folder: Path) -> dict[str, Any]:
    import transformers

    transformers.set_seed(job["seed"])
    tokenizer = tokenizer_of(job)
    folder.mkdir(parents=True)
    with _said_to(folder / "train.log", job["format"] == "console"):
        model = model_of(job)
        if job["step_fault"] == "frozen":
            freeze(model)
    data = {split: encoded(job, split, tokenizer) for split in ("train", "val", "clean")}
    trainer = _trainer(job, folder, model, data)
    before = _clean_loss(model, data["clean"])
    with _said_to(folder / "train.log", job["format"] == "console"):
        ended = _trained(job, trainer)
    history = list(trainer.state.log_history)
    _write(job, folder, trainer)
    after = None if ended else _clean_loss(model, data["clean"])
    return _truth(history, before, after, ended)


def _clean_loss(model: Any, samples: list[Any]) -> float:
    """The loss of rows without the fault, asked past the trainer: it would log the answer."""
    import torch

    losses = []
    with torch.no_grad():
        for at in range(0, len(samples), 32):
            losses.append(float(model(**collate(samples[at : at + 32], False)).loss))
    return sum(losses) / len(losses)


def _trained(job: Job, trainer: Any) -> str:
    try:
        trainer.train()
        if job["step_fault"].startswith("resume"):
            _continue(job, trainer)
    except RuntimeError as error:
        import traceback

        traceback.print_exception(error)
        return str(error)[:100]
    return ""


@contextmanager
def _said_to(path: Path, wanted: bool) -> Iterator[None]:
    """What the process prints goes to a file, as with `python train.py > train.log 2>&1`."""
    if not wanted:
        yield
        return
    kept = os.dup(1), os.dup(2)
    with path.open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            console.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)


def _trainer(job: Job, folder: Path, model: Any, data: dict[str, Any]) -> Any:
    from transformers import Trainer, TrainingArguments, get_scheduler

    class Theirs(Trainer):  # type: ignore[misc]
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            share = job["lr_options"].get("end", 1)
            steps = max(2, round(share * num_training_steps))
            warm = min(self.args.get_warmup_steps(num_training_steps), steps // 2)
            self.lr_scheduler = get_scheduler(
                self.args.lr_scheduler_type, optimizer or self.optimizer, warm, steps
            )
            if job["step_fault"] == "schedule-x4":  # a step of the schedule in every process
                once = self.lr_scheduler.step
                self.lr_scheduler.step = lambda: [once() for _ in range(4)]
            return self.lr_scheduler

    steps = job["steps"]
    given: dict[str, Any] = {
        "output_dir": str(folder), "max_steps": steps, "learning_rate": job["lr"],
        "lr_scheduler_type": job["schedule"], "per_device_train_batch_size": job["batch"],
        "warmup_steps": round(job["warmup"] * steps), "max_grad_norm": job["clip"],
        "weight_decay": job["decay"], "gradient_accumulation_steps": job["accumulate"],
        "per_device_eval_batch_size": 32, "logging_steps": job["every"], "save_strategy": "no",
        "report_to": "tensorboard" if job["format"] == "tensorboard" else "none",
        "seed": job["seed"], "disable_tqdm": True, "use_cpu": True,
        "eval_strategy": "steps" if job["evals"] else "no",
        "eval_steps": max(1, steps // job["evals"]) if job["evals"] else None,
    }  # fmt: skip
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder)
    padded = job["code_fault"] == "padding"
    return Theirs(
        model, TrainingArguments(**{**given, **job["options"]}), train_dataset=data["train"],
        eval_dataset=data["val"], data_collator=lambda samples: collate(samples, padded),
        callbacks=[_callback(job)],
    )  # fmt: skip


def _callback(job: Job) -> Any:
    import torch
    from transformers import TrainerCallback

    half = job["steps"] // 2

    class Fault(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            fault, step = job["step_fault"], state.global_step
            if fault == "poison" and step == half:
                poison(more["model"])
            if fault == "overflow" and step >= half:
                inflate(more["model"])
            if fault == "outlier" and step == half:
                with torch.no_grad():  # read as one huge gradient, and clipped
                    more["optimizer"].zero_grad()
            if fault == "oom" and step == half:
                raise torch.OutOfMemoryError(console.out_of_memory(job["seed"]))

        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if job["step_fault"] == "oom-eval" and state.global_step:
                raise torch.OutOfMemoryError(console.out_of_memory(job["seed"]))

    return Fault()


def _continue(job: Job, trainer: Any) -> None:
    """Train on for as long again with a new optimiser and schedule, the log kept."""
    history, done = list(trainer.state.log_history), trainer.state.global_step
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.args.warmup_steps = 0
    if job["step_fault"] == "resume-hot":
        trainer.args.learning_rate = job["hotter"] * job["lr"]
    trainer.train()
    later = [{**row, "step": row["step"] + done} for row in trainer.state.log_history]
    trainer.state.log_history = history + later
    trainer.state.global_step = trainer.state.max_steps = 2 * done


def _write(job: Job, folder: Path, trainer: Any) -> None:
    if job["format"] == "state":
        trainer.save_state()
        if job["method"] != "full":
            trainer.model.peft_config["default"].base_model_name_or_path = "base"
            trainer.model.peft_config["default"].save_pretrained(folder)
    if job["format"] == "tensorboard":
        for path in list(folder.rglob("events.out.*")):
            if path.parent != folder:
                shutil.move(path, folder / path.name)
    if job["config"]:
        given = trainer.args.to_dict()
        kept = {key: given[key] for key in KEPT if key in given}
        if job["code_fault"] == "end-masked":
            kept |= {"pad_token_id": 0, "eos_token_id": 0}
        if job["dtype"] != "float32":
            kept["torch_dtype"] = job["dtype"]
        (folder / "args.json").write_text(json.dumps(kept, indent=1))


def _truth(history: list[Any], before: float, after: float | None, ended: str) -> dict[str, Any]:
    rows = [row for row in history if "loss" in row]
    return {
        "steps": [row["step"] for row in rows],
        "losses": [float(row["loss"]) for row in rows],
        "norms": [float(row.get("grad_norm") or 0) for row in rows],
        "rates": [float(row.get("learning_rate") or 0) for row in rows],
        "evals": [[row["step"], float(row["eval_loss"])] for row in history if "eval_loss" in row],
        "before": before,
        "after": after,
        "ended": ended,
    }
