"""`advise fix` through the real command: what is left alone or refused, in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.program import advise
from tests.cli.sick_runs import (
    AUTOMODEL,
    automodel,
)


@pytest.mark.parametrize("value", ["${LR}", "$LR", "'{{ lr }}'", "auto", "<fill in>"])
def test_a_variable_of_the_user_is_not_written_over(tmp_path: Path, value: str) -> None:
    text = AUTOMODEL.replace("lr: 2.0e-4", f"lr: {value}")
    run = automodel(tmp_path / "run", config=text)
    done = advise("fix", run)
    assert done.returncode == 2 and value.strip("'") in done.stderr
    assert "already changed" not in done.stdout
    assert not (run / "config.next.yaml").exists()


def test_a_value_that_was_changed_the_other_way_is_no_change_made(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=None)
    (tmp_path / "mine.yaml").write_text(AUTOMODEL.replace("2.0e-4", "5.0e-4"))
    done = advise("fix", run, "--config", tmp_path / "mine.yaml")
    assert done.returncode == 2 and "the file holds 0.0005, the run had 0.0002" in done.stderr
    assert not (tmp_path / "mine.next.yaml").exists()


def test_labels_that_are_masked_leave_the_config_alone(tmp_path: Path) -> None:
    done = advise("fix", automodel(tmp_path / "run", "masked"))
    assert done.returncode == 0 and "nothing to change" in done.stdout
    assert not (tmp_path / "run" / "config.next.yaml").exists()


def test_several_runs_are_one_line_that_names_them(tmp_path: Path) -> None:
    automodel(tmp_path / "runs/a")
    automodel(tmp_path / "runs/b")
    done = advise("fix", tmp_path / "runs")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "2 runs" in done.stderr and "runs/a" in done.stderr and "runs/b" in done.stderr


def test_a_config_that_two_runs_share_is_written_for_one_of_them(tmp_path: Path) -> None:
    shared = tmp_path / "shared.yaml"
    shared.write_text(AUTOMODEL)
    for name in "ab":
        automodel(tmp_path / "runs" / name, config=None)
    done = advise("check", tmp_path / "runs", "--config", shared, "--fix", "--unsafe-fixes")
    assert done.returncode == 1
    assert "fix one run at a time" in done.stdout.replace("\n", " ")
    assert (tmp_path / "shared.next.yaml").exists()


HOSTILE = {
    "binary": b"\x00\xff\xfe lr: 1",
    "several documents": b"lr: 1\n---\nlearning_rate: 2\n",
    "tabs": b"optimizer:\n\tlr: 1\nstep_scheduler:\n  num_epochs: 1\n",
    "huge": b"x: " + b"y" * 300_000,
    "deep": b"optimizer: {lr: 1}\nstep_scheduler: {num_epochs: 1}\nx: " + b"[" * 3000,
    "no mapping": b"- a\n- b\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_one_line_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    run = automodel(tmp_path / "run", config=None)
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(HOSTILE[name])
    done = advise("fix", run, "--config", bad, "--in-place")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "bad.yaml" in done.stderr
    assert bad.read_bytes() == HOSTILE[name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml", "run"]


def test_objects_in_yaml_are_never_made(tmp_path: Path) -> None:
    made = tmp_path / "made"
    attack = f"lr: !!python/object/apply:os.system ['touch {made}']"
    text = AUTOMODEL.replace("weight_decay: 0.01", attack.replace("lr:", "weight_decay:"))
    run = automodel(tmp_path / "run", config=text)
    assert advise("fix", run).returncode == 0
    assert not made.exists() and attack[4:] in (run / "config.next.yaml").read_text()


def test_a_folder_or_a_pipe_is_no_config(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run", config=None)
    os.mkfifo(tmp_path / "pipe.yaml")
    for place in (tmp_path, tmp_path / "pipe.yaml", tmp_path / "none.yaml"):
        done = advise("fix", run, "--config", place)
        assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_link_out_of_the_folder_is_not_written_through(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.yaml"
    real.write_text(AUTOMODEL)
    run = automodel(tmp_path / "run", config=None)
    (run / "config.yaml").symlink_to(real)
    done = advise("fix", run, "--in-place")
    assert done.returncode == 2 and "link" in done.stderr and "elsewhere.yaml" in done.stderr
    assert real.read_text() == AUTOMODEL
    assert advise("fix", run).returncode == 0
    assert "8.0e-5" in (run / "config.next.yaml").read_text()
