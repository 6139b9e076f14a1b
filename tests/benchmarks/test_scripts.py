"""Every script behind a figure runs, at its smallest size, and writes no result unasked."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.places import BENCHMARKS, ROOT, SHARED_DATA, SHARED_LOGS, environment
from tests.benchmarks.scripts import SCRIPTS

pytestmark = pytest.mark.slow

# script and words -> what it says; TMP is a folder of the test's own
RUNS = {
    "generated.generator --out TMP --seeds 0:1 --kinds nan_late": "",
    "generated.detection --seeds 0:1 --kinds nan_late clean_cosine": "macro recall",
    "generated.stress --seeds 0:1": "macro recall of faults",
    "accuracy.report --quick --only emulated": "# How right the advisor is",
    "tools.mutation --count 1 --check": "1 of 1 seeded changes are caught",
    "generated.fuzz --minutes 0.02": "mutated logs",
    "live.delays --seeds 1000:1001 --logs 100000": "alarms a thousand points",
    "live.cost --lengths 100 --points 1000": r"\| 100 \| \d",
    "speed.check --rows 1000 --repeat 1 --without-peers": r"jsonl, 1,000 rows \| ours \| \d",
    "peers.compare --seeds 1000:1001 --only ours": "ours",
    "tools.make_demo --out TMP": "",
    "tools.make_instructions --out TMP": "",
    "tuning.kills --kills 1": r"\| kills -9 at random moments \| 1 \|",
    "tuning.replay --seeds 1 --task gsm8k --methods ours --out TMP/rows": "gsm8k",
}
NEED_TORCH = {
    "speed.tensorboard_read --points 1000 --repeat 1": r"\| finetune-advisor \| \d",
    "speed.callback --steps 3 --only tiny": r"\| tiny base model \|",
    "speed.metrics --steps 5 --only tiny": r"\| tiny base model",
    "real.finetune base --steps 2": "held-out loss",
    "speed.training --repeats 1 --batches 1 --only ours hand": "Ours over the hand-written loop",
    "real.tune base --steps 4 --runs 1": "start loss",
}
NEED_DATA = {
    "tuning.grid --task gsm8k --limit 1": "",
    "tuning.repair --seeds 1 --minutes 0": "",
}
NEED_LOGS = {
    "accuracy.real_logs --first 4 --repeats 1 --folds 2": "4 scored logs",
    "accuracy.metamorphic --first 3": "3 runs of strangers",
    "accuracy.threads --first 2": r"\| thread \|",
}


def results() -> dict[str, str]:
    """The digest of each file that a result is kept in."""
    kept = [*(BENCHMARKS / "results").iterdir(), *(ROOT / "presets" / "demo").rglob("*.*"),
            BENCHMARKS / "gallery" / "labels.jsonl", ROOT / "docs" / "accuracy.md"]  # fmt: skip
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def run(words: str, place: Path) -> str:
    """Run a script as its page in benchmarks/README.md says; return what it prints."""
    script, *rest = words.replace("TMP", str(place)).split()
    before = results()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script}", *rest], cwd=ROOT, env=environment(),
        capture_output=True, text=True, timeout=600,
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


@pytest.mark.parametrize("words", NEED_DATA)
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs the data sets in ../shared/data")
def test_a_script_that_trains_on_shared_data_runs_at_its_smallest(
    words: str, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    assert re.search(NEED_DATA[words], run(words, tmp_path))


@pytest.mark.parametrize("words", NEED_LOGS)
@pytest.mark.skipif(not SHARED_LOGS.is_dir(), reason="needs the labelled logs in ../shared/logs")
def test_a_script_over_real_logs_runs_at_its_smallest(words: str, tmp_path: Path) -> None:
    assert re.search(NEED_LOGS[words], run(words, tmp_path))


def test_every_script_that_is_run_by_hand_is_run_here() -> None:
    """Not here: what asks the package index or needs hours, each with why."""
    elsewhere = {
        "gallery.make": "trains 459 runs; its parts are tested in test_gallery.py",
        "tools.calibrate": "judges all runs twice; its parts are tested in test_calibrate.py",
        "tools.make_base_model": "trains the base model for hours from ../shared/data",
        "tuning.results": "needs every method's rows, Optuna's too",
        "speed.training_worker": "started by speed.training",
        "gallery.worker": "started by gallery.make",
        "gallery.second_model": "trains the gallery's second model from ../shared/data",
        "peers.worker": "started by peers.compare",
    }
    tried = {words.split()[0] for words in (*RUNS, *NEED_TORCH, *NEED_DATA, *NEED_LOGS)}
    assert set(SCRIPTS) - set(elsewhere) - tried == set()
