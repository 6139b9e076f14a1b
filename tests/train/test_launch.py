"""Launching: our own packages whatever lies around, one line for what a user can mend."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.base.trainer import command

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("train", "advisor", "rules", "presets", "config", "data", "model", "plan")


def hostile(folder: Path) -> Path:
    """A folder of somebody whose files have the names of ours."""
    for name in NAMES:
        (folder / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    return folder


def start(words: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("path", ["", "."])
def test_a_launch_never_runs_files_of_the_working_directory(tmp_path: Path, path: str) -> None:
    done = start(command(["nothing.yaml"]), hostile(tmp_path), PYTHONPATH=path)
    assert done.returncode == 2
    assert done.stderr == "train: nothing.yaml: no such config file; check the path\n"


def test_the_command_is_safe_too_and_its_help_has_an_example(tmp_path: Path) -> None:
    entry = "import sys; from advisor.cli import main; sys.argv[0] = 'advise'; main()"
    words = [sys.executable, "-P", "-c", entry, "train", "--help"]
    done = start(words, hostile(tmp_path), PYTHONPATH=str(ROOT))
    assert done.returncode == 0 and "example: advise train" in done.stdout


def test_python_m_works_where_only_our_package_is_on_the_path(tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "train", "nothing.yaml"]
    done = start(words, hostile(tmp_path), PYTHONPATH=str(ROOT))
    assert done.returncode == 2 and "no such config file" in done.stderr


@pytest.mark.parametrize("rank", ["0", "3"])
def test_processes_that_do_not_know_each_other_are_refused_by_the_first(
    tmp_path: Path, rank: str
) -> None:
    done = start(command(["c.yaml"]), tmp_path, WORLD_SIZE="8", RANK=rank)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == (rank == "0")
    assert not lines or "MASTER_ADDR is not set" in lines[0]


def test_flags_of_torchrun_go_to_torchrun() -> None:
    words = command(["c.yaml", "--nproc-per-node=2", "--optimizer.lr", "1", "--nnodes", "1"])
    at = [Path(word).name for word in words].index("elastic.py")
    assert words[at + 1 :][:3] == ["--nproc-per-node=2", "--nnodes", "1"]
    assert words[-3:] == ["c.yaml", "--optimizer.lr", "1"]


def test_a_missing_package_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "model: {pretrained_model_name_or_path: m}\n"
        "dataset: {path_or_dataset_id: d, column_mapping: {question: q, answer: a}}\n"
    )
    blocked = "import sys; sys.modules['torch'] = None; from train.launch import main;"
    words = [sys.executable, "-P", "-c", blocked + "sys.exit(main(['c.yaml'], {}))"]
    done = start(words, tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "train: training needs torch: pip install 'finetune-advisor[train]'"
    )
    assert not (tmp_path / "checkpoints").exists()


def test_threads_that_wait_sleep_unless_something_else_is_asked_for(tmp_path: Path) -> None:
    look = "import os; from train.launch import main; main(['no.yaml'], os.environ);"
    words = [sys.executable, "-P", "-c", look + "print(os.environ['OMP_WAIT_POLICY'])"]
    quiet = {"PYTHONPATH": str(ROOT)}
    assert start(words, tmp_path, **quiet).stdout == "PASSIVE\n"
    assert start(words, tmp_path, **quiet, OMP_WAIT_POLICY="ACTIVE").stdout == "ACTIVE\n"


def test_under_torchrun_an_error_is_one_line_too_and_keeps_its_status(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = start(command(["nothing.yaml", "--nproc-per-node", "1"]), hostile(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "train: nothing.yaml: no such config file; check the path\n"


def test_the_signal_that_torchrun_passes_on_is_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    from train.stopping import StopRequest

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # would end this process
    assert stop.signal == signal.SIGINT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_nothing_takes_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            command(["--help"]), stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert done.returncode == 2
        (said,) = done.stderr.splitlines()
        assert said.startswith("train: standard output cannot be written")
        lost = subprocess.run(command(["nothing.yaml"]), stderr=full, cwd=tmp_path)
    assert lost.returncode == 2  # words beside the answer may get lost
