"""Trainings in two processes: the first one speaks, and all of them stop."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("lightning")

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
LONGEST = 120.0  # seconds: what waits for a process that has stopped waits for ever


def two_processes(kind: str, place: Path, policy: str) -> list[str]:
    """Train in two processes; return what they said."""
    worker = ROOT / "tests" / "integrations" / "worker.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", str(worker), kind, str(place), policy]  # fmt: skip
    around = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LONGEST, env=around, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return sorted(re.findall(r"rank \d: .*", done.stdout))


@pytest.mark.parametrize("kind", ["transformers", "lightning"])
def test_a_stop_ends_all_processes_at_the_same_step(kind: str, tmp_path: Path) -> None:
    said = two_processes(kind, tmp_path, "stop")
    ends = {line.split("ended at ")[1] for line in said if "ended at" in line}
    assert len(ends) == 1
    assert 20 < int(ends.pop()) < 30
    assert any(line.startswith("rank 0: advise: stops the training") for line in said)
    assert not any(line.startswith("rank 1: advise") for line in said)


def test_a_warning_stops_none_of_them(tmp_path: Path) -> None:
    said = two_processes("transformers", tmp_path, "warn")
    assert [line for line in said if "ended at" in line] == [
        "rank 0: ended at 60", "rank 1: ended at 60",
    ]  # fmt: skip
    assert any("raised error NUM001" in line for line in said)
