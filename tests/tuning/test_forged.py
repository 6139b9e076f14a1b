"""A ledger that another hand has written: told in one line, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advisor.errors import AdvisorError
from advisor.tuning import keeper, launch
from advisor.tuning.ledger import NAME, Entry, Ledger, TrialPlan
from advisor.tuning.session import Session, Setup, begin_session, find_checkpoints
from advisor.tuning.trial import Trial
from tests.cli.program import advise

CONFIG = (
    "learning_rate: 0.001\nper_device_train_batch_size: 4\nnum_train_epochs: 1\noutput_dir: o\n"
)
OUTCOME = {
    "status": "finished", "val_steps": [1], "val_losses": [1.0], "loss_steps": [1],
    "losses": [1.0], "best_val": 1.0, "noise": None, "tokens": 5, "findings": [], "edits": [],
}  # fmt: skip
HUGE = 10**400


def test_a_planted_link_makes_way_for_the_output_of_a_run(tmp_path: Path) -> None:
    mine, folder = tmp_path / "mine.txt", tmp_path / "run"
    mine.write_text("mine")
    folder.mkdir()
    planted = [keeper.CONSOLE, keeper.ALIVE, keeper.ATTEMPTS, ".exit.json.new", ".job.json.new"]
    for name in planted:
        (folder / name).symlink_to(mine)
    job = launch.Job(folder, [sys.executable, "-c", "print('said')"], tmp_path)
    running = launch.Local().start(job)
    while not running.poll():
        time.sleep(0.05)
    assert mine.read_text() == "mine"
    assert (folder / keeper.CONSOLE).read_text() == "said\n"
    assert launch.read_exit(folder) is not None


@pytest.fixture
def session(tmp_path: Path) -> Path:
    config = tmp_path / "my.yaml"
    config.write_text(CONFIG)
    folder = tmp_path / "session"
    opened: Session = begin_session(folder, Setup(config, tmp_path, "true {config}"), CONFIG)
    plan = TrialPlan(1, "full", {"optimizer.lr": 1e-3}, (), CONFIG, "", "runs/001-start")
    opened.ledger.plan([plan])
    opened.ledger.finish(Entry(plan, trial=Trial(1, plan.values, "full", "finished")))
    opened.close()
    return folder


def forge(folder: Path, column: str, value: object) -> None:
    with sqlite3.connect(folder / NAME) as base:
        base.execute(f'UPDATE runs SET "{column}" = ?', (value,))
    base.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("folder", "../outside"), ("folder", "/tmp"), ("folder", "runs/../../outside"),
        ("folder", 7), ("folder", ""), ("kind", "other"), ("state", "odd"), ("values", "[1]"),
        ("values", "nothing"), ("values", "{" * 5000), ("changes", '[["a"]]'), ("changes", "7"),
        ("because", "{}"), ("max_steps", -3), ("max_steps", "many"),
        ("attempts", 1 << 62), ("seconds", -1e300), ("exit", "bad"),
        ("outcome", "{}"), ("outcome", "[" * 5000),
        ("outcome", json.dumps({**OUTCOME, "val_steps": [HUGE]})),
        ("outcome", json.dumps({**OUTCOME, "val_steps": [1, 2]})),
        ("outcome", json.dumps({**OUTCOME, "losses": ["x"]})),
        ("outcome", json.dumps({**OUTCOME, "tokens": HUGE})),
        ("outcome", json.dumps({**OUTCOME, "edits": [["a", "b"]]})),
        ("outcome", '{"val_steps": [' + "4" * 6000 + "]}"),
    ],
)  # fmt: skip
def test_a_forged_row_is_refused(session: Path, column: str, value: object) -> None:
    forge(session, column, value)
    ledger = Ledger.open(session, readonly=True)
    with pytest.raises(AdvisorError, match="row that tune did not write"):
        ledger.entries()
    ledger.close()


@pytest.mark.parametrize(
    "words",
    [["report", "S"], ["report", "S", "--json"], ["tune", "--session", "S", "--resume"]],
    ids=" ".join,
)
def test_no_command_follows_a_row_out_of_the_session(
    words: list[str], session: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside" / "run"
    outside.mkdir(parents=True)
    (outside / "precious").write_text("x")
    forge(session, "folder", "../outside")
    forge(session, "state", "planned")
    done = advise(*(str(session) if word == "S" else word for word in words), cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "fault of ours" not in done.stderr
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert [path.name for path in outside.parent.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("config", 5), ("launcher_words", 7), ("outcome", [1]), ("outcome", {"best": HUGE}),
     ("holds_out", "x"), ("cwd", None)],
)  # fmt: skip
def test_forged_notes_are_told_in_one_line(session: Path, key: str, value: object) -> None:
    with sqlite3.connect(session / NAME) as base:
        base.execute("INSERT OR REPLACE INTO session VALUES (?, ?)", (key, json.dumps(value)))
    base.close()
    done = advise("report", session, "--json")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "fault of ours" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_out_of_the_session_are_not_followed(session: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "checkpoint-5").mkdir(parents=True)
    run = session / "runs" / "001-start"
    run.mkdir(parents=True)
    (run / "run").symlink_to(outside)
    assert find_checkpoints(run) == []
    (session / "runs" / "002-full").symlink_to(outside)
    opened = Session(session, None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(AdvisorError, match="leads out of its session"):
        opened.place("runs/002-full")


@pytest.mark.parametrize("text", ["{}", '{"status": "x", "seconds": 1, "stopped": ""}', "[]",
                                  '{"status": 0, "seconds": null, "stopped": ""}'])  # fmt: skip
def test_a_forged_note_of_an_end_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / keeper.EXIT).write_text(text)
    with pytest.raises(AdvisorError, match="not written by tune"):
        launch.read_exit(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_only_a_process_that_holds_the_run_is_killed(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                                start_new_session=True)  # fmt: skip
    (tmp_path / keeper.ALIVE).touch()
    (tmp_path / keeper.STARTED).write_text(json.dumps({"group": stranger.pid}))
    launch._kill(tmp_path)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    with (tmp_path / keeper.ALIVE).open("a") as held:
        own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                               start_new_session=True, pass_fds=[held.fileno()])  # fmt: skip
    (tmp_path / keeper.STARTED).write_text(json.dumps({"group": own.pid}))
    launch._kill(tmp_path)
    assert own.wait(10) < 0
