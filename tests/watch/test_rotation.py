"""Logs that are rotated, cut or replaced between two looks: no row is lost."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from advisor.watch import Watcher
from tests.watch.following import append, rows
from tests.watch.test_watcher import kinds, watcher


def steps(watching: Watcher) -> list[int]:
    (run,) = watching.runs.values()
    return run.run.series["train/loss"].steps.tolist()


@pytest.mark.parametrize("name", ["train.jsonl.1", "train.jsonl-20260101", "train.1.jsonl", "old"])
def test_rows_that_were_written_just_before_a_rotation_are_kept(tmp_path: Path, name: str) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    watching = watcher(log)
    told = kinds(watching.look())
    append(log, rows(61, 9))  # nobody looks
    log.rename(tmp_path / name)
    append(log, rows(70, 31))
    told += kinds(watching.look(at_all=True))
    assert told == ["begun", "continued"]
    assert steps(watching) == list(range(1, 101))


def test_rows_that_were_copied_away_before_a_log_was_cut_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    watching = watcher(log)
    watching.look()
    append(log, rows(61, 9))
    shutil.copy(log, tmp_path / "train.jsonl.1")
    log.write_text("")
    append(log, rows(70, 31))
    watching.look(at_all=True)
    assert steps(watching) == list(range(1, 101))


def test_two_rotations_between_two_looks_lose_nothing(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    watching = watcher(log)
    watching.look()
    append(log, rows(61, 5))
    packed = "".join(json.dumps(row) + "\n" for row in rows(1, 65))
    (tmp_path / "train.jsonl.2.gz").write_bytes(gzip.compress(packed.encode()))
    (tmp_path / "train.jsonl.1").write_text("".join(json.dumps(r) + "\n" for r in rows(66, 14)))
    log.unlink()
    append(log, rows(80, 21))
    watching.look(at_all=True)
    assert steps(watching) == list(range(1, 101))
    (run,) = watching.runs.values()
    assert not any(event.kind == "resume" for event in run.run.events)


def test_another_run_beside_a_log_is_no_part_of_it(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    other = [{**row, "loss": row["loss"] + 1.0} for row in rows(1, 75)]
    append(tmp_path / "train-2.jsonl", other)
    watching = watcher(log)
    watching.look()
    log.unlink()
    append(log, rows(80, 21))
    watching.look(at_all=True)
    assert steps(watching) == [*range(1, 61), *range(80, 101)]


def test_a_run_that_begins_anew_takes_the_old_ones_findings_back(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    watching = watcher(log)
    news = watching.look()
    log.unlink()
    append(log, [{**row, "loss": row["loss"] + 0.5} for row in rows(1, 30)])
    news += watching.look(at_all=True)
    told = [(n.kind, n.change.finding.code) for n in news if n.change]
    assert ("raised", "NUM001") in told and ("withdrawn", "NUM001") in told
    (run,) = watching.runs.values()
    assert run.status == "ok" and not run.standing
