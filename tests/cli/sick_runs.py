"""Runs with a fault and a config, as `advise fix` finds them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

AUTOMODEL = """\
# a run of ours
step_scheduler:
  global_batch_size: 32   # over all devices
  local_batch_size: 8
  num_epochs: 3

optimizer:
  _target_: torch.optim.AdamW
  lr: 2.0e-4  # peak
  weight_decay: 0.01
lr_scheduler: {lr_decay_style: cosine, lr_warmup_steps: 20}
clip_grad_norm:
  max_norm: 1.0
peft:
  match_all_linear: true
  dim: 16
  alpha: 32
wandb:
  api_key: s3cr3t
"""
ARGUMENTS: dict[str, Any] = {
    "output_dir": "out",
    "learning_rate": 2e-4,
    "num_train_epochs": 3,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 4,
    "bf16": True,
    "hub_token": "s3cr3t",
}
STEPS = 200


def rate(step: int) -> float:
    after = max(0, step - 20) / (STEPS - 20)
    return 2e-4 * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * after))


def curve(kind: str) -> tuple[list[float], dict[int, float]]:
    """Return the training losses and the evaluations of a run that is sick in one way."""
    noise = random.Random(kind)
    loss, held = [], {}
    for i in range(STEPS):
        fall = 1.2 + 2 * math.exp(-i / 30)
        jump = 3.0 if kind == "spikes" and i > 60 and i % 35 < 3 else 0.0
        learns = max(0, i - 60) / 160 if kind == "overfits" else 0.0
        spread = 4.0 if kind == "noisy" else 0.02
        level = 10.0 if kind == "noisy" else fall - learns
        loss.append(0.0 if kind == "masked" else level + jump + noise.gauss(0, spread))
        if i % 20 == 19 and kind == "overfits":
            held[i] = fall + 0.9 * max(0, i - 80) / 100 + noise.gauss(0, 0.003)
    return loss, held


def automodel(place: Path, kind: str = "spikes", config: str | None = AUTOMODEL) -> Path:
    place.mkdir(parents=True)
    loss, held = curve(kind)
    rows = [{"step": i, "epoch": i * 3 // STEPS, "loss": v, "lr": rate(i), "tps": 9000.0,
             "num_label_tokens": 4000} for i, v in enumerate(loss)]  # fmt: skip
    (place / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"step": i, "val_loss": v, "lr": rate(i)} for i, v in held.items()]
    (place / "validation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if config is not None:
        (place / "config.yaml").write_text(config)
    return place


def trainer(
    place: Path, kind: str = "spikes", name: str = "", text: str = "", lr: bool = True
) -> Path:
    place.mkdir(parents=True)
    loss, held = curve(kind)
    history: list[dict[str, Any]] = []
    for i, value in enumerate(loss):
        entry = {"epoch": (i + 1) * 3 / STEPS, "loss": value, "step": i + 1}
        history.append(entry | {"learning_rate": rate(i)} if lr else entry)
        if i in held:
            history.append({"epoch": (i + 1) * 3 / STEPS, "eval_loss": held[i], "step": i + 1})
    state = {"global_step": STEPS, "max_steps": STEPS, "num_train_epochs": 3,
             "log_history": history}  # fmt: skip
    (place / "trainer_state.json").write_text(json.dumps(state))
    if name:
        (place / name).write_text(text or json.dumps(ARGUMENTS, indent=2))
    return place


def changed(old: str, new: str) -> list[str]:
    """Return the lines of ``new`` that ``old`` lacks; what is gone is counted by the caller."""
    before = old.splitlines()
    return [line for line in new.splitlines() if line not in before]
