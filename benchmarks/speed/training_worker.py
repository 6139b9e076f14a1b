"""One measured training run in a process of its own: benchmarks.speed.training starts it.

python -m benchmarks.speed.training_worker {hf,trl,ours,hand} JOB.json
Prints one JSON object: tokens, CPU seconds of the loop, MiB of memory over the loaded model, the
loss of each step, and the loss on the first batch afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

SAMPLES = "samples.json"
IGNORE = -100
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 8, 16


@dataclass(frozen=True, slots=True)
class Job:
    """``folder`` holds the model and the samples, in the order in which they are taken."""

    folder: str
    method: str
    batch: int
    lr: float
    longest: int

    def samples(self) -> list[dict[str, list[int]]]:
        return json.loads((Path(self.folder) / SAMPLES).read_text())


@dataclass(slots=True)
class Meter:
    """CPU seconds of the process and the peak of its memory, from ``start`` on."""

    cpu: float = 0.0
    resident: int = 0

    def start(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.resident = _status("VmRSS")
        self.cpu = time.process_time()

    def read(self) -> dict[str, float]:
        seconds = time.process_time() - self.cpu
        return {"cpu": seconds, "added_mib": (_status("VmHWM") - self.resident) / 1024}


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key)))


def fill_adapter(model: torch.nn.Module) -> None:
    """The same start of every adapter, whoever made it."""
    draw = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if ".lora_A." in name:
            fan_in = parameter.shape[1]
            parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * fan_in**-0.5)


def hf_model(job: Job) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job.folder, dtype=torch.float32)
    if job.method == "lora":
        lora = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
        fill_adapter(model)
    return model


def held_out(model: torch.nn.Module, job: Job) -> float:
    """Mean loss of the first batch by transformers' own forward pass, sample by sample."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    causal.set_attn_implementation("sdpa")
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for sample in job.samples()[: job.batch]:
            labels = torch.tensor(sample["labels"][1:])
            logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits[0, :-1]
            total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            count += int((labels != IGNORE).sum())
    return total / count


def trainer_callback(meter: Meter, result: dict[str, Any]) -> Any:
    from transformers import TrainerCallback

    class Measure(TrainerCallback):
        def on_train_begin(self, *args: object, **kwargs: object) -> None:
            meter.start()

        def on_train_end(self, *args: object, **kwargs: object) -> None:
            result.update(meter.read())

    return Measure()


def _arguments(job: Job, out: str) -> dict[str, Any]:
    return {
        "output_dir": out, "num_train_epochs": 1, "learning_rate": job.lr,
        "lr_scheduler_type": "constant", "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "use_cpu": True, "disable_tqdm": True, "bf16": False,
        "per_device_train_batch_size": job.batch, "max_grad_norm": 1.0, "weight_decay": 0.0,
        "train_sampling_strategy": "sequential", "gradient_checkpointing": False,
    }  # fmt: skip


def _losses(trainer: Any) -> list[float]:
    return [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]


def hf(job: Job, out: str) -> dict[str, Any]:
    """transformers' Trainer: batches padded to their longest sample."""
    from transformers import Trainer, TrainingArguments

    model = hf_model(job)
    result: dict[str, Any] = {}

    def pad(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)

        def filled(key: str, value: int) -> torch.Tensor:
            return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

        ones = [{"mask": [1] * len(row["input_ids"])} for row in rows]
        mask = torch.tensor([o["mask"] + [0] * (longest - len(o["mask"])) for o in ones])
        return {
            "input_ids": filled("input_ids", 0),
            "labels": filled("labels", IGNORE),
            "attention_mask": mask,
        }

    trainer = Trainer(
        model=model,
        args=TrainingArguments(**_arguments(job, out), remove_unused_columns=False),
        train_dataset=job.samples(),
        data_collator=pad,
        callbacks=[trainer_callback(Meter(), result)],
    )
    trainer.train()
    return {**result, "losses": _losses(trainer), "after": held_out(model, job)}


def trl(job: Job, out: str) -> dict[str, Any]:
    """TRL's SFTTrainer with packing (best fit, padding-free), as many tokens a step."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    model = hf_model(job)
    result: dict[str, Any] = {}
    samples = job.samples()
    tokens = sum(len(s["input_ids"]) for s in samples) / len(samples) * job.batch
    arguments = _arguments(job, out)
    arguments["per_device_train_batch_size"] = max(1, round(tokens / job.longest))
    rows = {
        "input_ids": [s["input_ids"] for s in samples],
        "completion_mask": [[int(x != IGNORE) for x in s["labels"]] for s in samples],
    }
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **arguments, packing=True, max_length=job.longest, completion_only_loss=True
        ),
        train_dataset=Dataset.from_dict(rows),
        processing_class=AutoTokenizer.from_pretrained(job.folder),
        callbacks=[trainer_callback(Meter(), result)],
    )
    trainer.train()
    return {**result, "losses": _losses(trainer), "after": held_out(model, job)}


def rows(folder: str) -> Iterator[dict[str, list[int]]]:
    """Our trainer's data set: its target is this file and `:rows`."""
    yield from json.loads((Path(folder) / SAMPLES).read_text())


def ours(job: Job, out: str) -> dict[str, Any]:
    """`train.sft.run` with the loop measured."""
    from train.config.load import load_config
    from train.loop import TrainingLoop
    from train.model import load as loading
    from train.sft import run

    result: dict[str, Any] = {}
    meter = Meter()
    kept: dict[str, Any] = {}

    def after_loading(*words: Any) -> Any:
        kept["model"] = _load(*words)
        if job.method == "lora":
            fill_adapter(kept["model"].model)
        return kept["model"]

    _load = loading.load_model
    _swap("train.sft", "load_model", after_loading)
    _swap("train.sft", "TrainingLoop", _measured(TrainingLoop, meter, result))
    loaded = load_config(_config_file(job, out), [], dict(os.environ))
    run(loaded, Path(out) / "run")
    lines = (Path(out) / "run" / "training.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"loss"' in line]
    return {**result, "losses": losses, "after": held_out(kept["model"].model, job)}


def _swap(module: str, name: str, new: object) -> None:
    __import__(module)
    getattr(sys.modules[module], name)  # a name that is gone would measure nothing, in silence
    setattr(sys.modules[module], name, new)


def _measured(loop: type, meter: Meter, result: dict[str, Any]) -> type:
    class Measured(loop):  # type: ignore[misc, valid-type]
        def run(self) -> Any:
            meter.start()
            outcome = super().run()
            result.update(meter.read())
            return outcome

    return Measured


def _config_file(job: Job, out: str) -> Path:
    here = Path(__file__).resolve()
    config: dict[str, Any] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": job.folder,
            "torch_dtype": "fp32",
        },
        "dataset": {"_target_": f"{here}:rows", "folder": job.folder},
        "dataloader": {"shuffle": False},
        "step_scheduler": {
            "global_batch_size": job.batch, "local_batch_size": job.batch, "num_epochs": 1
        },
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": job.lr, "weight_decay": 0.0},
        "checkpoint": {"enabled": False},
    }  # fmt: skip
    if job.method == "lora":
        config["peft"] = {
            "_target_": "nemo_automodel.components._peft.lora.PeftConfig",
            "match_all_linear": True, "dim": RANK, "alpha": ALPHA,
        }  # fmt: skip
    path = Path(out) / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


def hand(job: Job, out: str) -> dict[str, Any]:
    """A loop and a model written by hand for this one case (hand_llama.py)."""
    from benchmarks.speed import hand_llama

    model, step = hand_llama.load(job.folder, job.method, RANK, ALPHA)
    samples = job.samples()
    batches = [
        hand_llama.end_to_end(samples[i : i + job.batch]) for i in range(0, len(samples), job.batch)
    ]
    trained = [p for p in model.values() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=job.lr, weight_decay=0.0, fused=True)
    meter = Meter()
    meter.start()
    losses = []
    for batch in batches:
        loss = step(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    result = meter.read()
    with torch.no_grad():
        return {**result, "losses": losses, "after": step(model, batches[0]).item()}


WORKERS: dict[str, Callable[[Job, str], dict[str, Any]]] = {
    "hf": hf, "trl": trl, "ours": ours, "hand": hand
}  # fmt: skip


@contextmanager
def _quiet() -> Iterator[None]:
    """What trainers print goes to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", choices=list(WORKERS))
    parser.add_argument("job", type=Path, help="a JSON file that training.py wrote")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    job = Job(**json.loads(asked.job.read_text()))
    with _quiet(), tempfile.TemporaryDirectory() as out:
        result = WORKERS[asked.name](job, out)
    result["tokens"] = sum(len(s["input_ids"]) for s in job.samples())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
