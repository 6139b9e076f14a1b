"""A config that trains the bundled tiny model in seconds, from a rate a hundred times too low."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "presets" / "instructions.jsonl"
_MAPPED = "column_mapping: {question: instruction, context: context, answer: response}"


def config_text(base: Path) -> str:
    return f"""model: {{pretrained_model_name_or_path: {base}}}
peft: {{match_all_linear: true, dim: 8, alpha: 16}}
dataset:
  path_or_dataset_id: {DATA}
  limit_dataset_samples: 48
  {_MAPPED}
validation_dataset:
  path_or_dataset_id: {DATA.with_suffix(".val.jsonl")}
  limit_dataset_samples: 40
  {_MAPPED}
optimizer: {{lr: 4.0e-5}}
step_scheduler:
  global_batch_size: 16
  local_batch_size: 16
  num_epochs: 4
  val_every_steps: 3
  ckpt_every_steps: 3
"""
