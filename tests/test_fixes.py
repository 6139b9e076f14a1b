"""Fix, rerun, check: what `advise fix` remembers, and what the next check says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor.compare.fixes import NAME
from tests.cli.program import advise, asked
from tests.cli.sick_runs import automodel
from tests.trainer_states import falling, history, write_run

# six epochs, of which the last four overfit: `fix` asks for two
BEFORE = history(falling(36), {12: 2.6, 24: 2.5, 36: 2.6, 48: 2.8, 60: 3.0, 72: 3.2}, total=72)


def rerun(lowest: float, lr: float = 1e-4) -> list[dict[str, float]]:
    return history(falling(12), {12: lowest + 0.1, 24: lowest}, lr, total=24)


def fixed(root: Path) -> Path:
    """A run that overfits, and its fix by hand: no config lies beside it."""
    write_run(root, BEFORE, 72, 1e9)
    done = advise("fix", root)
    assert "num_train_epochs=2" in done.stdout
    return root


def followup(root: Path) -> Any:
    run = next(run for run in asked(root)[1]["runs"] if not run["id"])
    return run["followup"]


def test_a_rerun_into_the_same_folder_is_told_that_the_change_helped(tmp_path: Path) -> None:
    root = fixed(tmp_path / "out")
    write_run(root, rerun(2.3), 24, 1e9 + 600)
    told = followup(root)
    assert told["verdict"] == "helped" and told["take_back"] == []
    assert "num_train_epochs 6 -> 2" in told["message"]
    assert "eval/loss 2.5 -> 2.3 (the lowest of each" in told["message"]
    assert "since the fix: num_train_epochs 6 -> 2" in advise("check", root).stdout


def test_a_rerun_beside_the_run_is_told_too(tmp_path: Path) -> None:
    fixed(tmp_path / "out")
    write_run(tmp_path / "out-2", rerun(2.3), 24)
    assert followup(tmp_path / "out-2")["verdict"] == "helped"


def test_a_neighbour_is_no_rerun(tmp_path: Path) -> None:
    """Neither one that was there before, nor one of other data, whatever values they share."""
    fixed(tmp_path / "out")
    write_run(tmp_path / "old", rerun(2.9), 24, 1e9 - 5000)
    other = history(falling(12, first=9.0), {12: 8.1, 24: 8.0}, total=24)
    write_run(tmp_path / "other", other, 24)
    assert followup(tmp_path / "old") is None
    assert followup(tmp_path / "other") is None


def test_a_change_that_made_it_worse_is_to_be_taken_back(tmp_path: Path) -> None:
    root = fixed(tmp_path / "out")
    write_run(root, rerun(2.9), 24, 1e9 + 600)
    told = followup(root)
    assert told["verdict"] == "worse"
    assert told["take_back"] == [
        {"key": "step_scheduler.num_epochs", "native_key": "num_train_epochs", "from": 2, "to": 6}
    ]
    assert "undo it" in told["message"]


def test_what_is_as_good_and_rid_of_its_fault_has_helped(tmp_path: Path) -> None:
    root = fixed(tmp_path / "out")
    write_run(root, rerun(2.5), 24, 1e9 + 600)
    told = followup(root)
    assert told["verdict"] == "helped" and "EP004 is gone" in told["message"]


def test_a_secret_in_the_config_hides_no_followup(tmp_path: Path) -> None:
    root, secret = tmp_path / "out", "hf_" + "aB3" * 12
    write_run(root, BEFORE, 72, 1e9)
    words = ["--set", f"model.pretrained_model_name_or_path=https://me:{secret}@host/rows.jsonl"]
    assert "num_train_epochs=2" in advise("fix", root, *words).stdout
    assert secret not in (root / NAME).read_text()
    write_run(root, rerun(2.3), 24, 1e9 + 600)
    told = json.loads(advise("check", root, *words, "--format", "json").stdout)
    assert [r["followup"]["verdict"] for r in told["runs"] if not r["id"]] == ["helped"]


def test_before_the_rerun_nothing_is_said(tmp_path: Path) -> None:
    assert followup(fixed(tmp_path / "out")) is None


@pytest.mark.parametrize(
    ("planned", "lr"), [(36, 1e-4), (24, 1e-3)], ids=["other epochs", "another rate, too"]
)
def test_a_run_of_other_values_is_no_rerun_of_the_fix(
    tmp_path: Path, planned: int, lr: float
) -> None:
    root = fixed(tmp_path / "out")
    rows = history(falling(planned // 2, 3.1), {12: 2.6, 24: 2.4}, lr, total=planned)
    write_run(root, rows, planned, 1e9 + 600)
    assert followup(root) is None


def test_fix_says_that_the_next_run_wants_a_folder_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "out-2", BEFORE, 72)
    (tmp_path / "out-3").mkdir()
    told = advise("fix", tmp_path / "out-2").stderr
    assert f"as output_dir {tmp_path / 'out-4'}" in told


def test_a_rerun_whose_config_came_from_the_fix_is_told(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    new = tmp_path / "configs" / "second.yaml"
    new.parent.mkdir()
    assert advise("fix", run, "-o", new).returncode == 0
    assert (run / NAME).is_file() and (new.parent / NAME).is_file()
    other = automodel(tmp_path / "elsewhere" / "b", "plain", new.read_text())
    assert followup(other) is None  # nothing there says so
    done = advise("check", other, "--config", new, "--format", "json")
    told = json.loads(done.stdout)["runs"][0]["followup"]
    assert "lr 0.0002 -> 8e-05" in told["message"] and told["verdict"] in ("helped", "even")


def test_secrets_are_not_remembered(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    advise("fix", run)
    assert "s3cr3t" not in (run / NAME).read_text()


def test_to_look_at_a_change_remembers_nothing(tmp_path: Path) -> None:
    run = automodel(tmp_path / "run")
    advise("fix", run, "--diff")
    assert not (run / NAME).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"fixes": 3}', '{"fixes": [{"run": 1}]}', "\0" * 9])
def test_a_file_of_that_name_that_is_no_record_is_left_alone(tmp_path: Path, text: str) -> None:
    run = automodel(tmp_path / "run")
    (run / NAME).write_text(text)
    done = advise("fix", run)
    assert done.returncode == 0 and "is not a record of fixes" in done.stderr
    assert (run / NAME).read_text() == text
    assert asked(run)[1]["runs"][0]["followup"] is None


def test_a_forged_record_does_not_break_the_check(tmp_path: Path) -> None:
    root = fixed(tmp_path / "out")
    write_run(root, rerun(2.3), 24, 1e9 + 600)
    record = json.loads((root / NAME).read_text())
    record["fixes"][0]["curves"]["eval/loss"] = {"steps": [1, 1, 0], "values": [1.0, None, 2.0]}
    record["fixes"][0]["facts"] = {"max_steps": "many", "global_step": [1]}
    record["fixes"][0]["values"] = {"optimizer.lr": {"a": [1]}}
    (root / NAME).write_text(json.dumps(record))
    status, said = asked(root)
    assert status == 0 and not said["errors"]
