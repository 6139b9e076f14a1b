"""Every script behind a figure runs, at its smallest size, and writes no result unasked."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
LOGS = ROOT.parent / "shared" / "logs"

# script and words -> what it says; TMP is a folder of the test's own
RUNS = {
    "generator.py --out TMP --seeds 0:1 --kinds nan_late": "",
    "detection.py --seeds 0:1 --kinds nan_late clean_cosine": "macro recall",
    "stress.py --seeds 0:1": "macro recall of faults",
    "accuracy.py --quick --only emulated": "# How right the advisor is",
    "fuzz.py --minutes 0.02": "mutated logs",
    "live.py --seeds 1000:1001 --logs 100000": "alarms a thousand points",
    "live_cost.py --lengths 100 --points 1000": r"\| 100 \| \d",
    "speed.py --rows 1000 --repeat 1 --without-peers": r"jsonl, 1,000 rows \| ours \| \d",
    "peers.py --seeds 1000:1001 --only ours": "ours",
    "make_demo.py --out TMP": "",
    "make_instructions.py --out TMP": "",
    "tuning/kills.py --kills 1": r"\| kills -9 at random moments \| 1 \|",
    "tuning/replay.py --seeds 1 --task gsm8k --methods ours --out TMP/rows": "gsm8k",
}
NEED_TORCH = {
    "tensorboard_speed.py --points 1000 --repeat 1": r"\| finetune-advisor \| \d",
    "callback_overhead.py --steps 3 --only tiny": r"\| tiny base model \|",
    "metrics_overhead.py --steps 5 --only tiny": r"\| tiny base model",
    "real_finetune.py base --steps 2": "held-out loss",
    "train_speed.py --repeats 1 --batches 1 --only ours hand": "Ours over the hand-written loop",
    "tuning/grid.py --task gsm8k --limit 1": "",
    "tuning/repair.py --seeds 1 --minutes 0": "",
    "tuning/real_tune.py base --steps 4 --runs 1": "start loss",
}
NEED_LOGS = {
    "real_logs.py --first 4 --repeats 1 --folds 2": "4 scored logs",
    "metamorphic.py --first 3": "3 runs of strangers",
    "threads.py --first 2": r"\| thread \|",
}


def results() -> dict[str, str]:
    """The digest of each file that a result is kept in."""
    kept = [*(BENCHMARKS / "results").iterdir(), *(ROOT / "presets" / "demo").rglob("*.*"),
            BENCHMARKS / "gallery" / "labels.jsonl", ROOT / "docs" / "accuracy.md"]  # fmt: skip
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def run(words: str, place: Path) -> str:
    """Run a script as its page in benchmarks/README.md says; return what it prints."""
    script, *rest = words.replace("TMP", str(place)).split()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = results()
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}", *rest], cwd=ROOT, env=env, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert results() == before
    return done.stdout


@pytest.mark.parametrize("words", RUNS)
def test_a_script_runs_at_its_smallest(words: str, tmp_path: Path) -> None:
    assert re.search(RUNS[words], run(words, tmp_path))


@pytest.mark.parametrize("words", NEED_TORCH)
def test_a_script_that_trains_runs_at_its_smallest(words: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert re.search(NEED_TORCH[words], run(words, tmp_path))


@pytest.mark.parametrize("words", NEED_LOGS)
@pytest.mark.skipif(not LOGS.is_dir(), reason="needs the labelled logs in ../shared/logs")
def test_a_script_over_real_logs_runs_at_its_smallest(words: str, tmp_path: Path) -> None:
    assert re.search(NEED_LOGS[words], run(words, tmp_path))


def test_every_script_that_is_run_by_hand_is_run_here() -> None:
    """Not here: what asks the package index or needs hours, each with why."""
    elsewhere = {
        "gallery/make.py": "trains 459 runs; its parts are tested in test_gallery.py",
        "calibrate.py": "judges all runs twice; its parts are tested in test_calibrate.py",
        "make_base_model.py": "trains the base model for hours from ../shared/data",
        "tuning/results.py": "needs every method's rows, Optuna's too",
        "train_speed_worker.py": "started by train_speed.py",
        "gallery/worker.py": "started by gallery/make.py",
        "gallery/second_model.py": "trains the gallery's second model from ../shared/data",
        "peers/worker.py": "started by peers.py",
    }
    begins = 'if __name__ == "__main__":'
    found = {
        str(path.relative_to(BENCHMARKS))
        for path in BENCHMARKS.rglob("*.py")
        if "cache" not in path.parts and begins in path.read_text(encoding="utf-8")
    }
    tried = {words.split()[0] for words in (*RUNS, *NEED_TORCH, *NEED_LOGS)}
    assert found - set(elsewhere) - tried == set()
