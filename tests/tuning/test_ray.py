"""Runs of `advise tune` as tasks of a local Ray, two at once; one clear line without Ray."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.tuning.test_tune import CONFIG, tune

HAS_RAY = find_spec("ray") is not None


@pytest.mark.integration
@pytest.mark.skipif(not HAS_RAY, reason="needs ray")
def test_probes_run_at_once_on_ray_and_the_session_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text(CONFIG)
    done = tune(tmp_path, "--runs", "2", "--launcher", "ray", "--parallel", "2", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["outcome"]["better"]
    assert all(run["state"] == "done" for run in said["runs"])
    assert (tmp_path / "tune-my/runs/001-start/done.txt").read_text() == "done\n"


@pytest.mark.skipif(HAS_RAY, reason="is about a machine without ray")
def test_without_ray_its_launcher_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    (tmp_path / "my.json").write_text(CONFIG)
    done = tune(tmp_path, "--launcher", "ray")
    assert done.returncode == 2
    assert done.stderr == "advise: --launcher ray: pip install 'finetune-advisor[ray]'\n"
    assert not (tmp_path / "tune-my").exists()
