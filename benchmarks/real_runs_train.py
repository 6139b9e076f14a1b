"""Makes one real run of the tiny base model: by our trainer, or by transformers' Trainer.

Started by real_runs.py with a list of jobs; every job is a process of its own, forked when torch
is there. What the held-out rows say at the end goes to FOLDER.truth.json, beside the run.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import pkgutil
import shutil
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "presets"
FIELDS = {
    "instructions": ("instruction", "context", "response"),
    "dolly": ("instruction", "context", "response"),
    "alpaca": ("instruction", "input", "output"),
    "gsm8k": ("question", "", "answer"),
}
COLUMNS = "ColumnMappedTextInstructionDataset"
TARGET = f"nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset.{COLUMNS}"


def main() -> None:
    sys.path.insert(0, str(ROOT))
    import peft  # noqa: F401  the slow imports, once for all jobs
    import torch
    import transformers  # noqa: F401

    for module in pkgutil.walk_packages([str(ROOT / "train")], "train."):
        if module.name != "train.__main__":  # all at once: sources may change while runs go on
            importlib.import_module(module.name)

    torch.set_num_threads(1)
    for job in json.loads(Path(sys.argv[1]).read_text()):
        folder = Path(job["folder"])
        if folder.with_suffix(".truth.json").exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        began = time.time()
        child = os.fork()
        if not child:
            _child(job, folder)
        os.waitpid(child, 0)
        print(f"{folder.name}: {time.time() - began:.0f} s", flush=True)


def _child(job: dict[str, Any], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            truth = ours(job, folder) if job["trainer"] == "ours" else theirs(job, folder)
            folder.with_suffix(".truth.json").write_text(json.dumps(truth))
        except BaseException as error:  # a process of its own: what happened goes to its log
            import traceback

            traceback.print_exception(error)
            if isinstance(error, (ArithmeticError, RuntimeError, SystemExit)):
                folder.with_suffix(".truth.json").write_text(json.dumps({"ended": str(error)}))
        log.flush()
    os._exit(0)


def ours(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    from train.launch import main as launch

    config = folder.with_suffix(".json")
    config.write_text(json.dumps(_tree(job), indent=1))
    status = launch([str(config), "--run-dir", str(folder)], os.environ)
    return {"status": status}


def _tree(job: dict[str, Any]) -> dict[str, Any]:
    def rows(split: str, limit: int) -> dict[str, Any]:
        question, context, answer = FIELDS[job["data"]]
        columns = {"question": question, "context": context, "answer": answer}
        return {
            "_target_": TARGET,
            "path_or_dataset_id": str(_prepared(job, split)),
            "column_mapping": {key: value for key, value in columns.items() if value},
            "limit_dataset_samples": limit,
        }

    steps = job["steps"]
    tree: dict[str, Any] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": str(PRESETS / "base"),
        },
        "dataset": rows("train", job["rows"]),
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": job["lr"], "weight_decay": 0.01},
        "lr_scheduler": {"lr_decay_style": job["schedule"]},
        "step_scheduler": {
            "global_batch_size": job["batch"], "local_batch_size": job["batch"],
            "num_epochs": 500, "max_steps": steps, "ckpt_every_steps": 10 * steps,
        },
        "seed": job["seed"],
    }  # fmt: skip
    if job["evals"]:
        tree["validation_dataset"] = rows("val", 60)
        tree["step_scheduler"]["val_every_steps"] = max(1, steps // job["evals"])
    if job["method"] == "lora":
        tree["peft"] = {"match_all_linear": True, "dim": 16, "alpha": 32, "dropout": 0.0}
    for key, value in job["options"].items():
        section, _, name = key.partition(".")
        tree.setdefault(section, {})[name] = value
    return tree


def _source(job: dict[str, Any], split: str) -> Path:
    suffix = ".val.jsonl" if split == "val" else ".jsonl"
    folder = PRESETS if job["data"] == "instructions" else ROOT.parent / "shared" / "data"
    return folder / f"{job['data']}{suffix}"


def _prepared(job: dict[str, Any], split: str) -> Path:
    """The rows cut short, with shuffled answers where the job asks for them."""
    rows = _rows(job, split)
    out = Path(job["folder"]).parent / f"{Path(job['folder']).name}.{split}.jsonl"
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return out


def _rows(job: dict[str, Any], split: str) -> list[dict[str, str]]:
    import random

    question, context, answer = FIELDS[job["data"]]
    leaked = job["fault"] == "leaked" and split == "val"
    lines = _source(job, "train" if leaked else split).read_text().splitlines()
    rows = [json.loads(line) for line in lines[: 60 if split == "val" else job["rows"]]]
    kept = [
        {key: str(row.get(key, ""))[:limit] for key, limit in
         ((question, 80), (context, 40), (answer, 80)) if key}
        for row in rows
    ]  # fmt: skip
    if job["fault"] == "shuffled" and split == "train":
        answers = [row[answer] for row in kept]
        random.Random(0).shuffle(answers)
        kept = [{**row, answer: text} for row, text in zip(kept, answers, strict=True)]
    return kept


def theirs(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """transformers' Trainer, as its users call it."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    transformers.set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(PRESETS / "base")
    model = AutoModelForCausalLM.from_pretrained(PRESETS / "base", dtype=torch.float32)
    if job["method"] == "lora":
        from peft import LoraConfig, get_peft_model

        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(
            model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM")
        )
    data = {split: [_encode(row, job, tokenizer) for row in _rows(job, split)]
            for split in ("train", "val")}  # fmt: skip
    trainer = _trainer(job, folder, model, data)
    before = trainer.evaluate(data["val"])["eval_loss"]
    trainer.state.log_history.clear()
    trainer.train()
    if job["fault"] == "reset":  # the state goes on, the optimiser begins again
        _continue(job, trainer)
    trainer.save_model(str(folder))
    trainer.save_state()
    if job["with_args"]:
        _write_args(trainer, folder)
    history = list(trainer.state.log_history)
    after = trainer.evaluate(data["val"])["eval_loss"]
    losses = [row["loss"] for row in history if "loss" in row]
    return {"before": before, "after": after, "points": len(losses), "status": 0}


def _encode(row: dict[str, str], job: dict[str, Any], tokenizer: Any) -> dict[str, list[int]]:
    *asked, answer = [key for key in FIELDS[job["data"]] if key]
    prompt = tokenizer(" ".join(row[key] for key in asked if row[key]) + " ")["input_ids"][:32]
    reply = [*tokenizer(row[answer])["input_ids"][:32], tokenizer.eos_token_id]
    labels = [-100] * len(prompt) + ([-100] * len(reply) if job["fault"] == "masked" else reply)
    return {"input_ids": prompt + reply, "labels": labels}


def _trainer(job: dict[str, Any], folder: Path, model: Any, data: dict[str, Any]) -> Any:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Poison(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            fault, weights = job["fault"], list(more["model"].parameters())
            with torch.no_grad():
                if fault == "poisoned" and state.global_step == job["steps"] // 2:
                    next(w for w in weights if w.requires_grad).view(-1)[0] = math.nan
                if fault == "overflow" and state.global_step >= job["steps"] // 2:
                    for weight in (w for w in weights if w.requires_grad):
                        weight.mul_(1e6)

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in rows)
        fill = {"input_ids": 1, "labels": -100}
        batch = {key: torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])
                 for key, value in fill.items()}  # fmt: skip
        return {**batch, "attention_mask": (batch["input_ids"] != 1).long()}

    if job["fault"] == "frozen":
        for weight in model.parameters():
            weight.requires_grad = False
        next(model.parameters()).requires_grad = True  # a graph, which leads to no adapter
        model.get_input_embeddings().weight.register_hook(lambda grad: grad * 0)
    given: dict[str, Any] = {
        "output_dir": str(folder), "max_steps": job["steps"], "learning_rate": job["lr"],
        "lr_scheduler_type": job["schedule"], "per_device_train_batch_size": job["batch"],
        "per_device_eval_batch_size": 32, "logging_steps": job["every"], "report_to": "none",
        "save_strategy": "no", "seed": job["seed"], "disable_tqdm": True, "use_cpu": True,
        "eval_strategy": "steps" if job["evals"] else "no",
        "eval_steps": max(1, job["steps"] // job["evals"]) if job["evals"] else None,
    }  # fmt: skip
    args = TrainingArguments(**{**given, **job["options"]})
    return Trainer(
        model, args, train_dataset=data["train"], eval_dataset=data["val"],
        data_collator=collate, callbacks=[Poison()],
    )  # fmt: skip


def _continue(job: dict[str, Any], trainer: Any) -> None:
    """Train on for as long again with a new optimiser at the full rate, the log kept."""
    history, done = list(trainer.state.log_history), trainer.state.global_step
    trainer.optimizer = trainer.lr_scheduler = None
    trainer.args.learning_rate = 3 * job["lr"]
    trainer.train()
    later = [{**row, "step": row["step"] + done} for row in trainer.state.log_history]
    trainer.state.log_history = history + later
    trainer.state.global_step = 2 * done


def _write_args(trainer: Any, folder: Path) -> None:
    kept = ("learning_rate", "lr_scheduler_type", "per_device_train_batch_size", "max_steps",
            "gradient_accumulation_steps", "warmup_steps", "max_grad_norm", "weight_decay",
            "logging_steps", "eval_strategy", "eval_steps", "seed", "num_train_epochs")  # fmt: skip
    given = trainer.args.to_dict()
    (folder / "args.json").write_text(json.dumps({key: given[key] for key in kept}, indent=1))


if __name__ == "__main__":
    main()
