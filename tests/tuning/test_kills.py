"""Killed at any moment, `advise tune` loses no finished run and runs none twice."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from benchmarks.tuning.kills import Subject, Tally, campaign, one_session

ROOT = Path(__file__).resolve().parents[2]
BASE, DATA = ROOT / "presets" / "base", ROOT / "presets" / "instructions.jsonl"
MAPPED = "column_mapping: {question: instruction, context: context, answer: response}"
TINY = f"""model: {{pretrained_model_name_or_path: {BASE}}}
peft: {{match_all_linear: true, dim: 8, alpha: 16}}
dataset:
  path_or_dataset_id: {DATA}
  limit_dataset_samples: 48
  {MAPPED}
validation_dataset:
  path_or_dataset_id: {DATA.with_suffix(".val.jsonl")}
  limit_dataset_samples: 40
  {MAPPED}
optimizer: {{lr: 4.0e-5}}
step_scheduler:
  global_batch_size: 16
  local_batch_size: 16
  num_epochs: 4
  val_every_steps: 3
  ckpt_every_steps: 3
"""


def test_ten_kills_of_a_trainer_that_simulates() -> None:
    tally = campaign(10, seed=7)
    assert tally.faults == [] and tally.kills == 10


def ends_of_ours(run: Path) -> int:
    """How often our trainer told its end."""
    events = run / "run" / "events.jsonl"
    lines = events.read_text().splitlines() if events.is_file() else []
    return sum(json.loads(line)["kind"] == "end" for line in lines)


@pytest.mark.slow
def test_five_kills_of_our_own_trainer() -> None:
    pytest.importorskip("torch")
    tally = Tally()
    real = Subject("my.yaml", TINY, (), runs=2, seconds=(4.0, 14.0), ends=ends_of_ours)
    one_session(tally, random.Random(3), 5, [], real)
    assert tally.faults == [] and tally.runs >= 2
