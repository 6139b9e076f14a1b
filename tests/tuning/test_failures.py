"""`advise tune` with trainers that fail: each failure is told in a line, and costs little."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tuning.test_tune import CONFIG, STUB, advise, trainer, tune

NAN = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[2])
out.mkdir(parents=True)
rows = [{"step": n, "loss": float("nan"), "lr": 1e-5} for n in range(1, 41)]
rows += [{"step": n, "eval_loss": float("nan")} for n in (20, 40)]
(out / "log.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows))
"""
DEAF = f"""
import pathlib, runpy, sys
own = pathlib.Path(sys.argv[2]).parent / "own.json"
own.write_text({CONFIG!r})
sys.argv = [{str(STUB)!r}, str(own), sys.argv[2]]
runpy.run_path({str(STUB)!r}, run_name="__main__")
"""
HANGS = f"""
import runpy, sys, time
if "001-start" not in sys.argv[2]:
    print("waiting for the other ranks", flush=True)
    time.sleep(600)
sys.argv[0] = {str(STUB)!r}
runpy.run_path({str(STUB)!r}, run_name="__main__")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "my.json").write_text(CONFIG)
    return tmp_path


def tuned(place: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    script = place / "trainer.py"
    script.write_text(code)
    command = f"{sys.executable} '{script}' {{config}} {{run_dir}}"
    return tune(place, *words, command=command)


def last(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_trainer_that_logs_nothing_is_not_tried_again(place: Path) -> None:
    done = tuned(place, "print('all good')")
    assert done.returncode == 1
    assert "the run succeeded, but left no log that can be read" in last(done)
    assert len((place / "tune-my/runs/001-start/attempts.jsonl").read_text().splitlines()) == 1


def test_a_start_that_failed_can_be_begun_again(place: Path) -> None:
    assert tuned(place, "print('all good')").returncode == 1
    assert tune(place, "--runs", "1").returncode == 0


def test_losses_that_are_not_finite_from_the_first_step_are_told_as_that(place: Path) -> None:
    done = tuned(place, NAN, "--runs", "2")
    assert done.returncode == 1
    assert "no whole run reached a validation loss (2 nonfinite)" in last(done)
    assert "nothing was printed" not in done.stderr
    told = advise(place, "report", "tune-my")
    assert told.returncode == 0 and "nonfinite" in told.stdout
    assert "no whole run reached a validation loss" in " ".join(told.stdout.split())


def test_a_trainer_that_does_not_read_its_config_is_found_out(place: Path) -> None:
    done = tuned(place, DEAF, "--runs", "9", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcome"]["best"] == 1 and not said["outcome"]["better"]
    assert "does the trainer read {config}?" in said["outcome"]["stopped"]
    assert len(said["runs"]) <= 6


def test_tokens_are_left_for_the_whole_run_that_takes_what_probes_found(place: Path) -> None:
    each = 120 * 1000
    words = ("--tokens", str(4 * each), "--runs", "9", "--json")
    done = tune(place, *words, command=trainer("--tokens", "1000"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["tokens"] <= 4.2 * each
    assert said["outcome"]["better"], said["outcome"]
    assert "of --tokens" in said["outcome"]["stopped"]


@pytest.mark.slow
def test_a_run_that_hangs_is_ended_and_the_session_goes_on(place: Path) -> None:
    done = tuned(place, HANGS, "--runs", "1")
    assert done.returncode == 0
    more = ("--resume", "--session", "tune-my", "--runs", "2", "--hours", "0.03", "--json")
    done = advise(place, "tune", *more)
    assert done.returncode == 0, done.stderr
    second = json.loads(done.stdout)["runs"][1]
    assert second["status"] == "aborted" and "it hangs: silent for" in second["said"]


def test_a_folder_with_other_files_is_never_filled(place: Path) -> None:
    mine = place / "mine"
    (mine / "runs").mkdir(parents=True)
    (mine / "best.json").write_text("precious")
    done = tune(place, "--session", str(mine))
    assert done.returncode == 2 and "holds other files" in last(done)
    assert sorted(path.name for path in mine.iterdir()) == ["best.json", "runs"]


def test_a_session_that_is_a_file_is_refused(place: Path) -> None:
    done = tune(place, "--session", "my.json")
    assert done.returncode == 2 and "cannot be a session's folder" in last(done)


def test_another_config_does_not_go_on_with_a_session(place: Path) -> None:
    assert tune(place, "--runs", "1").returncode == 0
    (place / "other.json").write_text(CONFIG)
    done = advise(place, "tune", "other.json", "--resume", "--session", "tune-my")
    assert done.returncode == 2 and "is the session of" in last(done)


def test_a_session_that_is_over_goes_on_with_nothing(place: Path) -> None:
    assert tune(place, "--runs", "2").returncode == 0
    with sqlite3.connect(place / "tune-my" / "ledger.sqlite") as base:
        before = base.execute("SELECT * FROM runs").fetchall()
    again = advise(place, "tune", "--resume", "--session", "tune-my", "--runs", "2")
    assert again.returncode == 0 and "run 1 " not in again.stderr
    with sqlite3.connect(place / "tune-my" / "ledger.sqlite") as base:
        assert base.execute("SELECT * FROM runs").fetchall() == before


def test_a_disk_that_takes_nothing_is_one_line(place: Path) -> None:
    assert tune(place, "--runs", "1").returncode == 0
    (place / "tune-my/runs/002-probe").write_text("in the way")
    done = advise(place, "tune", "--resume", "--session", "tune-my", "--runs", "2")
    assert done.returncode == 2 and "fix that, then --resume" in last(done)


def test_a_ledger_of_odd_rows_is_one_line(place: Path) -> None:
    assert tune(place, "--runs", "1").returncode == 0
    with sqlite3.connect(place / "tune-my" / "ledger.sqlite") as base:
        base.execute("UPDATE runs SET changes = '[[1]]'")
    done = advise(place, "report", "tune-my")
    assert done.returncode == 2 and "a row that tune did not write" in last(done)


def test_a_broken_ledger_is_one_line(place: Path) -> None:
    (place / "tune-my").mkdir()
    (place / "tune-my" / "ledger.sqlite").write_text("junk")
    for words in (("tune", "my.json", "--command", trainer()), ("report", "tune-my")):
        done = advise(place, *words)
        assert done.returncode == 2 and "not a readable ledger" in last(done)
