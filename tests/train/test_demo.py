"""`advise demo --train`: the whole circle on the bundled model, as a new user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")


@pytest.mark.slow
def test_the_circle_trains_diagnoses_mends_and_compares(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    words = [sys.executable, "-m", "advisor", "demo", "--train", "-o", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "EP004 validation-rises" in done.stdout and "next.yaml" in done.stdout
    first, second = (last_loss(place / name) for name in ("first", "second"))
    assert second < 0.95 * first  # the advice was good: where it ends, not only on the way
    assert last_loss(place / "second", at=0) > 2 * second  # and it learnt


@pytest.mark.slow
def test_the_loop_mends_a_rate_of_a_hundredth(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    words = [sys.executable, "-m", "advisor", "demo", "--tune", "-o", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "test samples that no decision looked at: a gain of" in " ".join(done.stdout.split())
    best = (place / "tuning" / "best.yaml").read_text()
    assert "lr: 4.0e-5" not in best and "lr: 4e-05" not in best


def last_loss(folder: Path, at: int = -1) -> float:
    rows = (folder / "validation.jsonl").read_text().splitlines()
    return float(json.loads(rows[at])["val_loss"])
