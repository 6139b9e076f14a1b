"""Runs of `advise tune` as tasks of a local Ray, two at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tuning.test_tune import CONFIG, tune

pytest.importorskip("ray")
pytestmark = pytest.mark.integration


def test_probes_run_at_once_on_ray_and_the_session_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text(CONFIG)
    done = tune(tmp_path, "--runs", "2", "--launcher", "ray", "--parallel", "2", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["outcome"]["better"]
    assert all(run["state"] == "done" for run in said["runs"])
    assert (tmp_path / "tune-my/runs/001-start/done.txt").read_text() == "done\n"
