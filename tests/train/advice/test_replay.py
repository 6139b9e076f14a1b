"""What a Monitor that starts within a run is shown of what was before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from train.advice.replay import past_of


def test_a_monitor_that_starts_anew_knows_of_the_cuts(tmp_path: Path) -> None:
    logged = [
        {"step": s, "epoch": 0, "timestamp": 10.0 + s, "loss": 2.0 - 0.1 * s, "lr": 1e-4,
         "tps": 1.0, "num_label_tokens": 9}
        for s in range(8)
    ]  # fmt: skip
    details = {"to_step": 4, "lr_factor": 0.3}
    back = {"kind": "rollback", "text": "", "timestamp": 30.0, "step": 4, "details": details}
    (tmp_path / "training.jsonl").write_text("".join(json.dumps(r) + "\n" for r in logged))
    (tmp_path / "events.jsonl").write_text(json.dumps(back) + "\n")
    past = past_of(tmp_path, 4)
    assert past.facts == {"lr_cuts": ((4, 0.3),)}
    assert [step for step, _ in past.rows] == [0, 1, 2, 3]
