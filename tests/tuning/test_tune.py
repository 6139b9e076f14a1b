"""`advise tune` through the real command, with a trainer that simulates its curves."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "tests" / "tuning" / "stub_trainer.py"
CONFIG = """{
  "learning_rate": 1e-05,
  "per_device_train_batch_size": 8,
  "gradient_accumulation_steps": 1,
  "num_train_epochs": 3,
  "warmup_steps": 10,
  "lr_scheduler_type": "cosine",
  "seed": 1
}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "my.json").write_text(CONFIG)
    return tmp_path


def trainer(*more: str) -> str:
    return " ".join([sys.executable, str(STUB), "{config}", "{run_dir}", *more])


def advise(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "advisor", *words], cwd=place, env=env, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip


def tune(place: Path, *words: str, command: str = "") -> subprocess.CompletedProcess[str]:
    return advise(place, "tune", "my.json", "--command", command or trainer(), *words)


def test_a_rate_far_too_low_is_mended_and_the_users_file_stays(place: Path) -> None:
    done = tune(place, "--runs", "4", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcome"]["better"] and said["outcome"]["best"] > 1
    losses = {run["number"]: run["best_val"] for run in said["runs"]}
    assert losses[said["outcome"]["best"]] < 1.1 < 3 < losses[1]
    best = json.loads((place / "tune-my" / "best.json").read_text())
    assert 1e-4 < best["learning_rate"] < 0.03
    assert (place / "my.json").read_text() == CONFIG
    assert said["diff"].startswith("--- a/my.json")


def test_each_run_has_its_own_folder_with_the_config_it_was_run_with(place: Path) -> None:
    done = tune(place, "--runs", "2", "--json")
    for run in json.loads(done.stdout)["runs"]:
        folder = place / "tune-my" / run["folder"]
        assert (folder / "run" / "log.jsonl").is_file()
        held = json.loads((folder / "config.json").read_text())["learning_rate"]
        wanted = [c["to"] for c in run["changes"] if c["key"] == "optimizer.lr"]
        assert held == pytest.approx(wanted[0] if wanted else 1e-5, rel=1e-3)


def test_a_good_start_is_kept(place: Path) -> None:
    done = tune(place, "--set", "learning_rate=0.001", "--runs", "3", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)["outcome"]
    best = json.loads((place / "tune-my" / "best.json").read_text())
    assert outcome["best"] == 1 or 2e-4 < best["learning_rate"] < 5e-3


def test_runs_that_diverge_or_run_out_of_memory_are_results(place: Path) -> None:
    done = tune(place, "--set", "learning_rate=1.0", "--runs", "5", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcome"]["better"]
    assert json.loads((place / "tune-my" / "best.json").read_text())["learning_rate"] < 0.05


def test_a_start_that_no_memory_holds_runs_in_smaller_pieces_of_the_same_batch(place: Path) -> None:
    done = tune(place, "--runs", "2", "--json", command=trainer("--oom-above", "4"))
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["runs"]
    assert (first["status"], second["status"]) == ("oom", "finished")
    best = json.loads((place / "tune-my" / "best.json").read_text())
    sizes = best["per_device_train_batch_size"], best["gradient_accumulation_steps"]
    assert sizes == (4, 2) and best["learning_rate"] == 1e-5


def test_a_start_that_crashes_three_times_the_same_way_ends_with_one_line(place: Path) -> None:
    done = tune(place, command=trainer("--fail", "'no GPU at 0x7f3a'"))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("advise: ")]
    assert len(lines) == 1 and "crashed 3 times with: no GPU" in lines[0]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--command", "x_trainer {config}"), "x_trainer: no such program"),
        (("--command", f"{sys.executable} t.py"), "has no {config}"),
        (("--command", f"{sys.executable} 'open {{config}}"), "close the quotes"),
        (("--keep", "some"), "give all or best"),
        (("--hours", "0"), "give a number above 0"),
        (("--hours", "nan"), "give a number above 0"),
        (("--launcher", "slurm"), "give local, torchrun or ray"),
        (("--resume", "--session", "nowhere"), "holds no session"),
        (("--set", "learning_rat=1", "--command", f"{sys.executable} {{config}}"), "learning_rate"),
        (("--", "--nproc-per-node", "2"), "for --launcher torchrun only"),
    ],
)
def test_bad_input_is_one_line_and_status_2(place: Path, words: tuple[str, ...], said: str) -> None:
    done = advise(place, "tune", "my.json", *words)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (place / "tune-my").exists()


def test_a_session_is_never_begun_over_another(place: Path) -> None:
    assert tune(place, "--runs", "1").returncode == 0
    again = tune(place, "--runs", "1")
    assert again.returncode == 2 and "--resume continues it" in again.stderr
    more = advise(place, "tune", "my.json", "--resume", "--runs", "2", "--json")
    assert more.returncode == 0, more.stderr
    assert (place / "tune-my/runs/001-start/done.txt").read_text() == "done\n"
    assert sum(run["kind"] == "full" for run in json.loads(more.stdout)["runs"]) == 2


def begin(place: Path, *words: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "advisor", "tune", "my.json", "--command",
            trainer("--seconds", "20"), *words]  # fmt: skip
    return subprocess.Popen(line, cwd=place, env=env, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def test_two_loops_on_one_session_refuse_each_other(place: Path) -> None:
    first = begin(place)
    try:
        wait_for(place / "tune-my/runs/001-start/run/log.jsonl")
        second = advise(place, "tune", "--session", "tune-my", "--resume")
        assert second.returncode == 2
        assert "another advise tune works on this session" in second.stderr
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)


def test_ctrl_c_ends_the_run_politely_and_the_session_goes_on(place: Path) -> None:
    first = begin(place, "--runs", "1")
    wait_for(place / "tune-my/runs/001-start/run/log.jsonl")
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130 and "--resume" in said
    assert not (place / "tune-my/runs/001-start/exit.json").exists()
    with sqlite3.connect(place / "tune-my" / "ledger.sqlite") as base:
        base.execute("UPDATE session SET value = ? WHERE key = 'command'",
                     (json.dumps(trainer()),))  # fmt: skip
    more = advise(place, "tune", "--session", "tune-my", "--resume", "--runs", "1", "--json")
    assert more.returncode == 0, more.stderr
    assert json.loads(more.stdout)["runs"][0]["status"] == "finished"


def test_keep_best_leaves_checkpoints_of_start_and_best_only(place: Path) -> None:
    saver = place / "saver.py"
    saver.write_text(
        "import pathlib, runpy, sys\n"
        "out = pathlib.Path(sys.argv[2]) / 'checkpoint-120'\n"
        "out.mkdir(parents=True)\n(out / 'model.bin').write_text('w')\n"
        f"sys.argv[0] = {str(STUB)!r}\nrunpy.run_path({str(STUB)!r}, run_name='__main__')\n"
    )
    command = f"{sys.executable} {saver} {{config}} {{run_dir}}"
    done = tune(place, "--runs", "3", "--keep", "best", "--json", command=command)
    said = json.loads(done.stdout)
    left = {path.parents[1].name for path in place.glob("tune-my/runs/*/run/checkpoint-120")}
    best = next(r["folder"] for r in said["runs"] if r["number"] == said["outcome"]["best"])
    assert left == {"001-start", Path(best).name}


def test_the_dry_run_shows_the_command_and_runs_nothing(place: Path) -> None:
    done = tune(place, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("run 1 (start): ") and "stub_trainer.py" in done.stdout
    assert not (place / "tune-my").exists()


def test_probes_run_at_once_where_that_is_asked_for(place: Path) -> None:
    done = tune(place, "--runs", "2", "--parallel", "3", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["outcome"]["better"] and all(run["state"] == "done" for run in said["runs"])
    assert [run["number"] for run in said["runs"]] == list(range(1, len(said["runs"]) + 1))


def test_a_probe_is_judged_by_its_own_steps_whenever_it_was_ended(place: Path) -> None:
    assert tune(place, "--runs", "2").returncode == 0
    with sqlite3.connect(place / "tune-my" / "ledger.sqlite") as base:
        probes = base.execute("SELECT max_steps, outcome FROM runs WHERE kind = 'probe'").fetchall()
    assert probes  # the stub is done before anybody could end it: its log is whole
    for most, outcome in probes:
        assert json.loads(outcome)["loss_steps"][-1] == most


def test_a_run_is_ended_when_the_hours_are_spent(place: Path) -> None:
    command = trainer("--seconds", "600", "--at-once", "20")
    done = tune(place, "--hours", "0.0015", "--json", command=command)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["runs"][0]
    assert run["status"] == "aborted" and run["said"] == "the --hours of the session are used up"
    assert run["best_val"] is not None
    assert not (place / "tune-my/runs/001-start/done.txt").exists()


def test_without_any_validation_loss_there_is_no_result_and_status_1(place: Path) -> None:
    blind = place / "blind.py"
    blind.write_text(
        "import json, pathlib, sys\nout = pathlib.Path(sys.argv[2])\nout.mkdir(parents=True)\n"
        "rows = [json.dumps({'step': n, 'loss': 2 - n / 100}) for n in range(60)]\n"
        "(out / 'log.jsonl').write_text('\\n'.join(rows))\n"
    )
    done = tune(place, "--runs", "1", command=f"{sys.executable} {blind} {{config}} {{run_dir}}")
    assert done.returncode == 1
    assert "no run logged a validation loss to choose by" in done.stderr.splitlines()[-1]


def test_a_run_that_diverges_is_ended_early(place: Path) -> None:
    words = ("--set", "learning_rate=1.0", "--runs", "1", "--json")
    done = tune(place, *words, command=trainer("--seconds", "30"))
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    assert run["status"] == "aborted" and "ended early: divergence" in run["said"]
    log = place / "tune-my/runs/001-start/run/log.jsonl"
    assert len(log.read_text().splitlines()) < 120


def test_a_dialect_without_a_place_for_a_change_says_so(place: Path) -> None:
    (place / "my.json").write_text(CONFIG.replace('"seed"', '"sed"'))
    done = tune(place, "--set", "packed_sequence.packed_sequence_size=512")
    assert done.returncode == 2 and "has no place for" in done.stderr


def count(folder: Path) -> dict[str, int]:
    """How often each kind of run was really begun, by the folders of a session."""
    names = [path.name.partition("-")[2] for path in (folder / "runs").iterdir()]
    return {kind: names.count(kind) for kind in ("start", "full", "probe")}


def test_what_is_run_stays_within_what_the_estimate_says(place: Path) -> None:
    done = tune(place, "--runs", "3", "--json")
    first, *_ = done.stderr.splitlines()
    assert "at most 3 whole runs" in first and "4.5 times what one run takes" in first
    begun = count(place / "tune-my")
    assert begun["start"] + begun["full"] <= 3
    said = json.loads(done.stdout)
    assert len(said["runs"]) == sum(begun.values())
    batches = {
        run["number"]: next((c["to"] for c in run["changes"]
                             if c["key"] == "step_scheduler.global_batch_size"), 8)
        for run in said["runs"]
    }  # fmt: skip
    probes = re.findall(r"run (\d+) \(probe of (\d+) steps\)", done.stderr)
    assert len(probes) == begun["probe"] > 0
    samples = sum(int(steps) * batches[int(number)] for number, steps in probes)
    assert samples <= 1.05 * 1.5 * 120 * 8


def test_a_session_that_goes_on_keeps_its_bounds(place: Path) -> None:
    tune(place, "--runs", "2", "--json")
    before = count(place / "tune-my")
    done = advise(place, "tune", "--session", "tune-my", "--resume")
    assert done.returncode == 0, done.stderr
    assert "at most 2 whole runs" in done.stderr and "the 2 runs of --runs are done" in done.stderr
    assert count(place / "tune-my") == before
    done = advise(place, "tune", "--session", "tune-my", "--resume", "--runs", "3")
    assert "at most 3 whole runs" in done.stderr
    again = advise(place, "tune", "--session", "tune-my", "--resume")
    assert "at most 3 whole runs" in again.stderr


def test_on_one_screen_a_run_is_shown_once_under_the_users_own_keys(place: Path) -> None:
    command = [sys.executable, "-m", "advisor", "tune", "my.json", "--runs", "2"]
    done = subprocess.run(
        [*command, "--command", trainer()], cwd=place, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("run 1 (start): your config as it is") == 1
    assert "full as it is" not in done.stdout
    rates = [line for line in done.stdout.splitlines() if "learning_rate 1e-05 ->" in line]
    assert len(rates) == len(set(rates)) == sum(count(place / "tune-my").values()) - 1
    assert "optimizer.lr" not in done.stdout and "step_scheduler" not in done.stdout


def test_a_dry_run_says_what_a_session_takes_at_most(place: Path) -> None:
    done = tune(place, "--runs", "3", "--dry-run")
    assert "at most 3 whole runs" in done.stdout
    assert not (place / "tune-my").exists()
