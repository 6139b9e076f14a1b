"""Every run has a folder of its own; nothing is resumed or overwritten by accident."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from train.config.rundir import CONFIG, RunPlace, changes, claim, find_run, lock, release
from train.errors import TrainConfigError


def finished_run(folder: Path, step: int = 9) -> Path:
    (folder / f"epoch_0_step_{step}").mkdir(parents=True)
    (folder / CONFIG).write_text("optimizer: {lr: 1}\n")
    (folder / "training.jsonl").write_text("{}\n")
    return folder


def test_a_fresh_run_takes_the_checkpoint_dir_and_writes_its_config(tmp_path: Path) -> None:
    assert claim(tmp_path / "a" / "b", None, "x: 1\n") == RunPlace(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / CONFIG).read_text() == "x: 1\n"


def test_a_second_run_goes_beside_the_first_within_the_folder(tmp_path: Path) -> None:
    finished_run(tmp_path)
    assert [claim(tmp_path, None, "").run_dir.name for _ in range(2)] == ["run-2", "run-3"]
    assert (tmp_path / CONFIG).read_text() == "optimizer: {lr: 1}\n"


@pytest.mark.parametrize("trace", [CONFIG, "training.jsonl", "epoch_0_step_9"])
def test_any_trace_of_a_run_keeps_another_out(tmp_path: Path, trace: str) -> None:
    (tmp_path / trace).mkdir() if "epoch" in trace else (tmp_path / trace).write_text("")
    assert claim(tmp_path, None, "").run_dir == tmp_path / "run-2"


def test_other_files_do_not_keep_a_run_out(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert claim(tmp_path, None, "").run_dir == tmp_path


def test_a_named_folder_with_a_run_is_refused(tmp_path: Path) -> None:
    finished_run(tmp_path)
    with pytest.raises(TrainConfigError, match=r"holds a run already.*--resume"):
        claim(Path("unused"), tmp_path, "")


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(TrainConfigError, match="--run-dir"):
        claim(tmp_path / "f", None, "")


def test_a_run_that_failed_before_it_began_leaves_nothing(tmp_path: Path) -> None:
    place = claim(tmp_path / "out", None, "")
    (place.run_dir / "training.jsonl").write_text("")
    release(place)
    assert not place.run_dir.exists()


def test_a_run_that_logged_anything_stays(tmp_path: Path) -> None:
    place = claim(tmp_path / "out", None, "")
    (place.run_dir / "training.jsonl").write_text("{}\n")
    release(place)
    assert (place.run_dir / CONFIG).exists()


def test_the_newest_run_is_the_one_that_wrote_last(tmp_path: Path) -> None:
    first, second = finished_run(tmp_path), finished_run(tmp_path / "run-2")
    for run, when in ((first, 2000), (second, 1000)):
        for path in run.glob("epoch*"):
            os.utime(path, (when, when))
        os.utime(run / "training.jsonl", (when, when))
    assert find_run("latest", tmp_path) == RunPlace(first, "latest")


def test_a_run_or_a_checkpoint_can_be_named(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run-2")
    step = run / "epoch_0_step_9"
    assert find_run(str(run), Path("unused")) == RunPlace(run, "latest")
    assert find_run("run-2", tmp_path) == RunPlace(run, "latest")
    assert find_run(str(step), Path("unused")) == RunPlace(run, step.name)
    assert find_run("epoch_0_step_9", run) == RunPlace(run, step.name)
    (run / "LATEST").symlink_to("epoch_0_step_9")
    assert find_run(str(run / "LATEST"), Path("unused")) == RunPlace(run, step.name)


@pytest.mark.parametrize("wanted", ["latest", "nowhere", "epoch_0_step_7"])
def test_nothing_to_resume_is_one_line(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(TrainConfigError, match="--resume"):
        find_run(wanted, tmp_path)


def test_a_run_that_still_runs_cannot_be_taken_up(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(TrainConfigError, match="another process is training there"):
        lock(tmp_path)
    lock(tmp_path).close()


def test_a_run_killed_before_its_first_checkpoint_is_still_the_newest(tmp_path: Path) -> None:
    run = tmp_path / "run-2"
    run.mkdir()
    (run / "training.jsonl").write_text("")
    assert find_run("latest", tmp_path) == RunPlace(run, "latest")


def test_a_resumed_run_says_what_it_does_otherwise(tmp_path: Path) -> None:
    finished_run(tmp_path)
    assert changes(tmp_path, {"optimizer": {"lr": 1}}) == []
    assert changes(tmp_path, {"optimizer": {"lr": 2}}) == ["optimizer.lr was 1, now 2"]


@pytest.mark.parametrize("section", ["peft", "model"])
def test_weights_of_another_shape_cannot_be_resumed(tmp_path: Path, section: str) -> None:
    finished_run(tmp_path)
    with pytest.raises(TrainConfigError, match="does not fit"):
        changes(tmp_path, {"optimizer": {"lr": 1}, section: {"dim": 4}})
