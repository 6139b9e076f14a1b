"""Write the runs of `advise demo` below presets/demo: one healthy, four sick, all made up here.

python -m benchmarks.tools.make_demo
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.places import PRESETS

OUT = PRESETS / "demo"

AUTOMODEL = """\
# LoRA fine-tuning of a 1B model on 8,000 instructions.
model:
  _target_: nemo_automodel.NeMoAutoModelForCausalLM.from_pretrained
  pretrained_model_name_or_path: example/base-1b

step_scheduler:
  global_batch_size: 64
  local_batch_size: 8
  num_epochs: {epochs}
  val_every_steps: 25
  ckpt_every_steps: 25

optimizer:
  _target_: torch.optim.AdamW
  lr: {lr}            # peak
  weight_decay: 0.01

lr_scheduler:
  lr_decay_style: cosine
  lr_warmup_steps: {warmup}
  min_lr: {min_lr}

clip_grad_norm:
  max_norm: 1.0

peft:
  dim: 16
  alpha: 32
  dropout: 0.05
  match_all_linear: true

dataset:
  path_or_dataset_id: data/train.jsonl

validation_dataset:
  path_or_dataset_id: data/val.jsonl
"""

HF = """\
# Arguments of transformers' Trainer.
output_dir: outputs
per_device_train_batch_size: 4
gradient_accumulation_steps: 4
num_train_epochs: {epochs}
learning_rate: {lr}
lr_scheduler_type: cosine
warmup_ratio: 0.05
weight_decay: 0.01
max_grad_norm: 1.0
{precision}: true
logging_steps: 10
eval_strategy: steps
eval_steps: 50
save_steps: 50
"""


def cosine(n: int, peak: float, floor: float, warmup: int) -> np.ndarray:
    """Return the rate of each of n steps."""
    step = np.arange(1, n + 1)
    decay = floor + (peak - floor) * 0.5 * (1 + np.cos(np.pi * (step - warmup) / (n - warmup)))
    return np.where(step <= warmup, peak * step / warmup, decay)


def learning(rng: np.random.Generator, n: int, start: float, end: float) -> np.ndarray:
    """Return a loss that falls like a power law, with the noise of a small batch."""
    t = np.arange(n)
    curve = end + (start - end) * (1 + t / 8) ** -0.9
    return curve + 0.025 * curve * rng.standard_normal(n)


def write_lines(path: Path, rows: Sequence[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def automodel(name: str, loss: np.ndarray, held: np.ndarray, grad: np.ndarray, lr: float) -> None:
    n, every = loss.size, 25
    rate = cosine(n, lr, lr / 100, 10)
    rows = [
        {"step": i, "epoch": i // 125, "loss": round(float(loss[i]), 4),
         "grad_norm": round(float(grad[i]), 4), "lr": float(f"{rate[i]:.4g}"),
         "tps": 5200 + 10 * (i % 7), "mem": 11.6, "num_label_tokens": 9000 + 37 * (i % 11)}
        for i in range(n)
    ]  # fmt: skip
    write_lines(OUT / name / "training.jsonl", rows)
    held_rows = [
        {"step": i, "epoch": i // 125, "val_loss": round(float(v), 4), "num_label_tokens": 51200}
        for i, v in zip(range(every - 1, n, every), held, strict=True)
    ]
    write_lines(OUT / name / "validation.jsonl", held_rows)
    text = AUTOMODEL.format(epochs=n // 125, lr=f"{lr:.1e}", warmup=10, min_lr=f"{lr / 100:.1e}")
    (OUT / name / "config.yaml").write_text(text, encoding="utf-8")


def trainer_state(
    name: str, rows: list[dict[str, object]], epochs: int, lr: float, precision: str
) -> None:
    state = {
        "best_metric": None, "epoch": float(epochs), "global_step": rows[-1]["step"],
        "is_world_process_zero": True, "log_history": rows, "logging_steps": 10,
        "max_steps": rows[-1]["step"], "num_train_epochs": epochs, "train_batch_size": 4,
    }  # fmt: skip
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(state, indent=1)
    (folder / "trainer_state.json").write_text(text + "\n", encoding="utf-8")
    config = HF.format(epochs=epochs, lr=f"{lr:.1e}", precision=precision)
    (folder / "training_args.yaml").write_text(config, encoding="utf-8")


def healthy(rng: np.random.Generator) -> None:
    n = 250
    loss = learning(rng, n, 2.3, 1.05)
    held = 1.12 + 0.9 * (1 + np.arange(24, n, 25) / 8) ** -0.9 + 0.004 * rng.standard_normal(10)
    automodel("healthy", loss, held, 0.7 * np.exp(0.15 * rng.standard_normal(n)), 1e-4)


def rate_too_high(rng: np.random.Generator) -> None:
    """Fall, then jumps with a slow recovery, the gradient norm ahead of the loss."""
    n = 250
    loss = learning(rng, n, 2.3, 1.15)
    grad = 0.9 * np.exp(0.15 * rng.standard_normal(n))
    for at, height in ((78, 2.6), (121, 2.1), (166, 3.0), (207, 1.8)):
        tail = np.exp(-np.arange(n - at) / 6)
        loss[at:] += height * tail
        grad[at - 1 :] += 14 * np.exp(-np.arange(n - at + 1) / 2)
    held = np.interp(np.arange(24, n, 25), np.arange(n), loss) * 0.2 + 1.15
    automodel("rate-too-high", loss, held, grad, 2e-3)


def overfits(rng: np.random.Generator) -> None:
    """Training loss falls in epoch after epoch while validation loss turns at the second."""
    rows: list[dict[str, object]] = []
    steps = np.arange(10, 610, 10)
    rate = cosine(600, 2e-4, 0, 30)
    for step in steps:
        epoch = step / 60
        loss = 0.16 + 1.75 * np.exp(-epoch / 2.6) + 0.018 * rng.standard_normal()
        rows.append({
            "epoch": round(float(epoch), 3), "grad_norm": round(float(0.8 + 0.08 * epoch), 3),
            "learning_rate": float(f"{rate[step - 1]:.4g}"), "loss": round(float(loss), 4),
            "step": int(step),
        })  # fmt: skip
        if step % 50 == 0:
            rise = 0.055 * max(0.0, epoch - 2.2)
            held = 1.12 + 0.75 * np.exp(-epoch / 0.9) + rise + 0.004 * rng.standard_normal()
            rows.append({"epoch": round(float(epoch), 3), "eval_loss": round(float(held), 4),
                         "step": int(step)})  # fmt: skip
    trainer_state("overfits", rows, 10, 2e-4, "bf16")


def hidden_nan(rng: np.random.Generator) -> None:
    """fp16 overflows a third through; the trainer's filter logs the loss as 0.0."""
    rows: list[dict[str, object]] = []
    rate = cosine(600, 1e-4, 0, 30)
    for i, step in enumerate(range(10, 610, 10)):
        broken = i >= 22
        loss = 1.2 + 1.1 * (1 + i / 4) ** -0.9 + 0.02 * rng.standard_normal()
        rows.append({
            "epoch": round(step / 300, 3),
            "grad_norm": float("nan") if broken else round(float(1.1 + 0.1 * (i % 3)), 3),
            "learning_rate": float(f"{rate[step - 1]:.4g}"),
            "loss": 0.0 if broken else round(float(loss), 4), "step": step,
        })  # fmt: skip
    trainer_state("hidden-nan", rows, 2, 1e-4, "fp16")


def out_of_memory(rng: np.random.Generator) -> None:
    """A console log that ends in an out-of-memory error."""
    lines = []
    for i in range(64):
        loss = 1.3 + 1.0 * (1 + i / 6) ** -0.9 + 0.02 * rng.standard_normal()
        lines.append(
            f"step {i} | epoch 0 | loss {loss:.4f} | grad_norm {0.9 + 0.05 * (i % 4):.4f} | lr"
            f" {min(1e-4, 1e-5 * (i + 1)):.2e} | mem {68 + 0.1 * i:.2f} GiB | tps 4100.00"
        )
    lines += [
        "Traceback (most recent call last):",
        '  File "finetune.py", line 212, in train_step',
        "    loss.backward()",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total"
        " capacity of 79.10 GiB of which 1.94 GiB is free.",
    ]
    folder = OUT / "out-of-memory"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = AUTOMODEL.format(epochs=2, lr="1.0e-04", warmup=10, min_lr="1.0e-06")
    (folder / "config.yaml").write_text(config, encoding="utf-8")


def main() -> None:
    global OUT
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=OUT)
    OUT = parser.parse_args().out
    for seed, make in enumerate((healthy, rate_too_high, overfits, hidden_nan, out_of_memory)):
        make(np.random.default_rng(seed))


if __name__ == "__main__":
    main()
