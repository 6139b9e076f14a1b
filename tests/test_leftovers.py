"""A run that was started again into its folder, and what the earlier one left there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from advisor.pipeline import Request
from advisor.readers.discover import read_runs
from advisor.rulebook.load import load_rules
from advisor.run import Run
from advisor.watch import Watcher
from tests.cli.program import advise, asked
from tests.trainer_states import falling, history, write_run, write_state

LONG = {12: 2.6, 24: 2.5, 36: 2.6, 48: 2.8, 60: 3.0, 72: 3.2}
OLD = history(falling(36), LONG, total=72)
NEW = history(falling(12), {12: 2.55, 24: 2.4}, total=24)


def steps(run: Run) -> int:
    return int(run.series["train/loss"].steps[-1])


def both(root: Path, at: tuple[float, float] = (1e9, 1e9 + 600)) -> tuple[Run, Run]:
    write_run(root, OLD, 72, at[0])
    write_run(root, NEW, 24, at[1])
    now, before = read_runs(root)
    return now, before


def test_the_newer_state_at_the_root_wins_over_checkpoints_of_more_steps(tmp_path: Path) -> None:
    now, before = both(tmp_path)
    assert (steps(now), now.id) == (24, "")
    assert (steps(before), before.id) == (72, "earlier")
    assert "checkpoint-36 to checkpoint-72: left by an earlier run" in now.notes[-1]


def test_each_run_has_its_own_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-48-best").mkdir()
    now, before = both(tmp_path)
    assert now.facts["checkpoints"] == {12: "checkpoint-12", 24: "checkpoint-24"}
    assert list(before.facts["checkpoints"]) == [36, 48, 60, 72]  # type: ignore[call-overload]


def test_in_a_copy_whose_times_say_nothing_the_root_wins(tmp_path: Path) -> None:
    now, before = both(tmp_path, (1e9, 1e9))
    assert (steps(now), steps(before)) == (24, 72)


def test_a_rerun_that_still_goes_on_wins_over_the_old_state_at_the_root(tmp_path: Path) -> None:
    write_run(tmp_path, OLD, 72, 1e9)
    write_run(tmp_path, NEW, 24, 1e9 + 600, done=False)
    now, before = read_runs(tmp_path)
    assert (steps(now), steps(before)) == (24, 72)
    assert before.path == str(tmp_path / "trainer_state.json")


def test_without_times_and_a_root_the_run_that_overwrote_the_first_ones_wins(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, OLD, 72, 1e9, done=False)
    write_run(tmp_path, NEW, 24, 1e9, done=False)
    now, before = read_runs(tmp_path)
    assert (steps(now), steps(before)) == (24, 72)


def test_a_run_that_was_resumed_is_one_run(tmp_path: Path) -> None:
    write_run(tmp_path, OLD[:20], 72, 1e9)  # its root holds a closing row that no checkpoint has
    write_run(tmp_path, OLD, 72, 1e9 + 600, done=False)
    (run,) = read_runs(tmp_path)
    assert steps(run) == 72
    assert list(run.facts["checkpoints"]) == [12, 24, 36, 48, 60, 72]  # type: ignore[call-overload]


def test_a_run_that_was_resumed_for_more_epochs_is_one_run(tmp_path: Path) -> None:
    rows = history(falling(36), LONG)
    write_run(tmp_path, [row for row in rows if row["step"] <= 24], 24, 1e9)
    for count in (36, 48):
        write_state(tmp_path / f"checkpoint-{count}", [r for r in rows if r["step"] <= count], 72)
    (run,) = read_runs(tmp_path)
    assert steps(run) == 48


@pytest.mark.parametrize("at", [(1e9, 1e9 + 600), (1e9, 1e9)])
def test_a_shorter_rerun_with_the_same_curve_is_a_run_of_its_own(
    tmp_path: Path, at: tuple[float, float]
) -> None:
    rows = history(falling(36), LONG)  # a constant rate: nothing but its length tells it apart
    write_run(tmp_path, rows, 72, at[0])
    write_run(tmp_path, [row for row in rows if row["step"] <= 24], 24, at[1])
    now, before = read_runs(tmp_path)
    assert (steps(now), steps(before)) == (24, 72)


def test_a_state_that_is_damaged_beside_good_ones_is_passed_by(tmp_path: Path) -> None:
    write_run(tmp_path, OLD, 72)
    (tmp_path / "checkpoint-84").mkdir()
    (tmp_path / "checkpoint-84" / "trainer_state.json").write_text("{")
    (run,) = read_runs(tmp_path)
    assert steps(run) == 72


def test_check_counts_the_run_that_is_there_and_shows_the_one_before(tmp_path: Path) -> None:
    both(tmp_path)
    status, said = asked(tmp_path)
    assert [(run["id"], run["status"]) for run in said["runs"]] == [
        ("", "ok"), ("earlier", "failing"),
    ]  # fmt: skip
    assert status == 0
    shutil.rmtree(tmp_path / "checkpoint-24")
    assert asked(tmp_path / "checkpoint-72")[0] == 1  # asked for by name it counts


def test_fix_takes_the_run_that_is_there(tmp_path: Path) -> None:
    both(tmp_path)
    done = advise("fix", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing to change" in done.stdout


def test_compare_ranks_both_runs_of_one_folder(tmp_path: Path) -> None:
    both(tmp_path)
    done = advise("compare", tmp_path)
    assert "the lowest that each reached" in done.stdout
    assert "2.4 at step 24" in done.stdout


def test_a_rerun_that_is_watched_is_told_apart_from_what_was_there(tmp_path: Path) -> None:
    write_run(tmp_path, OLD, 72, 1e9)
    watching = Watcher([tmp_path], load_rules(), Request())
    news = watching.look()
    assert {n.change.finding.code for n in news if n.change} >= {"EP004"}
    write_run(tmp_path, NEW[:8], 24, 1e9 + 600, done=False)
    news = watching.look(at_all=True)
    write_run(tmp_path, NEW, 24, 1e9 + 900)
    news += watching.look(at_all=True)
    runs = {run.id: run for run in watching.runs.values()}
    assert steps(runs[""].run) == 24 and runs[""].status == "ok"
    assert steps(runs["earlier"].run) == 72 and runs["earlier"].status == "failing"
    assert [n.kind for n in news if n.change is None].count("restarted") == 1
