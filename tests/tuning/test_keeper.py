"""A run is kept by a process of its own: it ends when it is told, and says how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from advisor.tuning.launch import Job, Local, Running, read_exit, settle, sum_seconds

POLITE = (
    "import signal, sys, time, pathlib\n"
    "def end(*_):\n    pathlib.Path('saved').write_text('yes')\n    sys.exit(143)\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "pathlib.Path('up').write_text('')\ntime.sleep(60)\n"
)


def started(folder: Path, code: str) -> Running:
    folder.mkdir(exist_ok=True)
    return Local().start(Job(folder, [sys.executable, "-c", code], folder))


def wait(running: Running) -> None:
    for _ in range(1200):
        if running.poll():
            return
        time.sleep(0.05)
    raise AssertionError("the run does not end")


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


@pytest.mark.parametrize(("code", "status"), [("print('done')", 0), ("raise SystemExit(7)", 7)])
def test_how_a_run_ended_is_written_down(tmp_path: Path, code: str, status: int) -> None:
    wait(started(tmp_path / "a", code))
    found = read_exit(tmp_path / "a")
    assert found is not None and (found.status, found.stopped) == (status, "")


def test_a_program_that_is_not_there_is_an_end_too(tmp_path: Path) -> None:
    wait(Local().start(Job(tmp_path, ["./no-such-program"], tmp_path)))
    found = read_exit(tmp_path)
    assert found is not None and found.status == 127
    assert "cannot be started" in (tmp_path / "console.log").read_text()


def test_a_run_that_is_stopped_may_save_first_and_the_reason_stands(tmp_path: Path) -> None:
    running = started(tmp_path, POLITE)
    wait_for(tmp_path / "up")
    running.stop("it diverges\nfor good")
    wait(running)
    found = read_exit(tmp_path)
    assert found is not None and (found.status, found.stopped) == (143, "it diverges for good")
    assert (tmp_path / "saved").exists()


def test_a_run_that_is_paused_has_not_ended(tmp_path: Path) -> None:
    running = started(tmp_path, POLITE)
    wait_for(tmp_path / "up")
    running.pause()
    assert read_exit(tmp_path) is None and (tmp_path / "saved").exists()
    assert sum_seconds(tmp_path) > 0


def test_a_run_ends_when_the_loop_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from advisor.tuning.launch import Job, Local\n"
        f"f = Path({str(folder)!r})\nf.mkdir()\n"
        f"Local().start(Job(f, [sys.executable, '-c', {POLITE!r}], f))\ntime.sleep(60)\n"
    )
    loop = started(tmp_path / "loop", code)
    wait_for(folder / "up")
    group = json.loads((tmp_path / "loop" / "run.json").read_text())["group"]
    os.kill(group, signal.SIGKILL)
    wait_for(folder / "saved")
    settle(folder)
    wait(loop)
    assert read_exit(folder) is None


def test_a_run_whose_keeper_is_killed_is_told_to_end(tmp_path: Path) -> None:
    running = started(tmp_path, POLITE)
    wait_for(tmp_path / "up")
    os.kill(json.loads((tmp_path / "run.json").read_text())["keeper"], signal.SIGKILL)
    wait(running)
    if sys.platform == "linux":
        wait_for(tmp_path / "saved")
    settle(tmp_path)
    assert read_exit(tmp_path) is None


def test_two_keepers_do_not_keep_one_run(tmp_path: Path) -> None:
    first = started(tmp_path, POLITE)
    wait_for(tmp_path / "up")
    second = started(tmp_path, "print('twice')")
    wait(second)
    assert "twice" not in (tmp_path / "console.log").read_text()
    first.pause()
