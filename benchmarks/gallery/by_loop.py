"""A run by a plain torch loop, for faults that no trainer lets one make."""

from __future__ import annotations

import json
import math
import random
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gallery import console
from benchmarks.gallery.by_hf import _said_to
from benchmarks.gallery.families import Job
from benchmarks.gallery.models import freeze, inflate, model_of, poison, tokenizer_of, trained
from benchmarks.gallery.rows import collate, encoded


def train(job: Job, folder: Path) -> dict[str, Any]:
    import torch

    torch.manual_seed(job["seed"])
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(job)
    with _said_to(folder / "train.log", job["format"] == "console"):
        model = model_of(job)
    if job["step_fault"] == "frozen":
        freeze(model)
    data = {split: encoded(job, split, tokenizer) for split in ("train", "val", "clean")}
    run = Loop(job, model, data)
    before = run.evaluate("clean")
    ended = ""
    try:
        run.run()
    except RuntimeError as error:
        ended = "".join(traceback.format_exception(error))
    console.write(run.rows, job["format"], folder, ended)
    if job["config"]:
        _write_config(job, folder)
    return {
        "steps": [row["step"] for row in run.rows if "loss" in row],
        "losses": [row["loss"] for row in run.rows if "loss" in row],
        "norms": [row["grad_norm"] for row in run.rows if "loss" in row],
        "rates": [row["lr"] for row in run.rows if "loss" in row],
        "evals": [[row["step"], row["val_loss"]] for row in run.rows if "val_loss" in row],
        "before": before,
        "after": None if ended else run.evaluate("clean"),
        "ended": ended[-1000:],
    }


@dataclass
class Loop:
    """AdamW, a schedule, clipping; one row a logged step."""

    job: Job
    model: Any
    data: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    optimizer: Any = None
    _seen: int = 0  # steps that the schedule and the data order count

    def run(self) -> None:
        job, fault = self.job, self.job["step_fault"]
        self._begin()
        half, total = job["steps"] // 2, job["steps"]
        for step in range(total):
            if fault in ("resume-new", "resume-hot") and step == half:
                self._begin()
                self._seen = 0
            if fault == "resume-order" and step == half:
                self._seen = 0
                said = f"Resuming from checkpoint out/checkpoint-{step}"
                self.rows.append({"step": step, "said": said})
            if fault == "poison" and step == half:
                poison(self.model)
            if fault == "overflow" and step >= half:
                inflate(self.model)
            rate = self._rate(step, hot=fault == "resume-hot" and step >= half)
            self._log(step, rate, *self._step(rate, step))
            self._seen += 1
            if job["evals"] and (step + 1) % max(1, total // job["evals"]) == 0:
                self._eval(step)

    def _begin(self) -> None:
        import torch

        job = self.job
        self.optimizer = torch.optim.AdamW(
            trained(self.model), lr=job["lr"], weight_decay=job["decay"]
        )

    def _rate(self, step: int, hot: bool) -> float:
        job = self.job
        at = self._seen if job["step_fault"] != "resume-order" else step
        at *= 4 if job["step_fault"] == "schedule-x4" else 1
        total = job["steps"] * job["lr_options"].get("end", 1)
        warm = round(job["warmup"] * job["steps"])
        peak = job["lr"] * (job["hotter"] if hot else 1)
        if at < warm:
            return float(peak * (at + 1) / (warm + 1))
        along = min(1.0, (at - warm) / max(1, total - warm))
        left = {"cosine": 0.5 * (1 + math.cos(math.pi * along)), "linear": 1 - along,
                "constant": 1.0, "wsd": min(1.0, (1 - along) / 0.2)}[job["schedule"]]  # fmt: skip
        return float(peak * left)

    def _samples(self, step: int) -> list[Any]:
        """The samples of a step: shuffled anew in each epoch, in an order that the step fixes."""
        train, size = self.data["train"], self.job["batch"] * self.job["accumulate"]
        found = []
        for at in range(self._seen * size, (self._seen + 1) * size):
            order = list(range(len(train)))
            random.Random(f"{self.job['seed']}/{at // len(train)}").shuffle(order)
            found.append(train[order[at % len(train)]])
        return found

    def _step(self, rate: float, step: int) -> tuple[float, float]:
        import torch

        job = self.job
        samples, parts, total = self._samples(step), job["accumulate"], 0.0
        scale = 1 if job["step_fault"] == "summed" else parts
        for i in range(parts):
            batch = collate(samples[i::parts], job["code_fault"] == "padding")
            loss = self.model(**batch).loss / scale
            loss.backward()
            total += float(loss.detach())
        weights = trained(self.model)
        if job["step_fault"] == "outlier" and step == job["steps"] // 2:
            for weight in weights:
                weight.grad *= 300
        if job["step_fault"] == "skips" and step < 2:
            weights[0].grad.view(-1)[0] = math.inf
        norm = torch.nn.utils.clip_grad_norm_(weights, job["clip"] or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if not (job["step_fault"] == "skips" and step < 2):
            self.optimizer.step()
        self.optimizer.zero_grad()
        if job["step_fault"] == "oom" and step == job["steps"] // 2:
            raise torch.OutOfMemoryError(console.out_of_memory(job["seed"]))
        return total, float(norm)

    def _log(self, step: int, rate: float, loss: float, norm: float) -> None:
        job = self.job
        if (step + 1) % job["every"]:
            return
        row: dict[str, Any] = {"step": step + 1, "loss": loss, "lr": rate, "grad_norm": norm}
        noise = random.Random(f"{job['seed']}/{step}")
        if job["step_fault"] == "idle":
            row |= {"gpu_util": round(22 + noise.gauss(0, 3), 1), "step_time": 0.8}
        if job["step_fault"] == "stall":
            waited = 0.9 + abs(noise.gauss(0, 0.3))
            row |= {"step_time": round(0.5 + waited, 3), "data_time": round(waited, 3)}
        self.rows.append(row)

    def _eval(self, step: int) -> None:
        import torch

        if self.job["step_fault"] == "oom-eval":
            raise torch.OutOfMemoryError(console.out_of_memory(self.job["seed"]))
        self.rows.append({"step": step + 1, "val_loss": self.evaluate("val")})

    def evaluate(self, split: str) -> float:
        import torch

        samples, losses = self.data[split], []
        with torch.no_grad():
            for at in range(0, len(samples), 30):
                batch = collate(samples[at : at + 30], False)
                losses.append(float(self.model(**batch).loss))
        return sum(losses) / len(losses)


def _write_config(job: Job, folder: Path) -> None:
    """The hyper-parameters of a script, under names that such scripts use."""
    said = {
        "learning_rate": job["lr"], "batch_size": job["batch"] * job["accumulate"],
        "max_steps": job["steps"], "warmup_steps": round(job["warmup"] * job["steps"]),
        "weight_decay": job["decay"], "max_grad_norm": job["clip"], "seed": job["seed"],
        "gradient_accumulation_steps": job["accumulate"], "lr_scheduler_type": job["schedule"],
    }  # fmt: skip
    if job["dtype"] != "float32":
        said["dtype"] = job["dtype"]
    if job["method"] != "full":
        said |= {"lora_r": job["rank"], "lora_alpha": job["alpha"]}
    (folder / "config.json").write_text(json.dumps(said, indent=1))
