"""Commands of runs: no shell, our trainer resumed where it can be, probes as cut-off whole runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from advisor.tuning.driver import Driver, Length, count_planned_steps
from advisor.tuning.ledger import TrialPlan
from advisor.tuning.session import Setup
from advisor.tuning.trial import Kind, TrialChange
from advisor.tuning.writing import read_start, write_values

OURS = """optimizer: {lr: 1.0e-4}
lr_scheduler: {lr_decay_style: cosine}
step_scheduler: {global_batch_size: 16, num_epochs: 3}
wandb: {project: mine}
"""


def driver(tmp_path: Path, command: str = "", text: str = OURS, **more: object) -> Driver:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    setup = Setup(path, tmp_path, command, **more)  # type: ignore[arg-type]
    return Driver(setup, read_start(path), "tune-my")


def plan(kind: Kind = "full", steps: int | None = None, **values: object) -> TrialPlan:
    held = {"step_scheduler.global_batch_size": 16, "step_scheduler.num_epochs": 3, **values}
    return TrialPlan(3, kind, held, (), "", "", "runs/003-full", steps)


def words(tmp_path: Path, made: Driver, given: TrialPlan, length: Length = Length()) -> list[str]:  # noqa: B008
    return made.build_command(given, Path("c.yaml"), tmp_path / "runs/003-full/run", length)


def test_braces_are_filled_in_without_a_shell(tmp_path: Path) -> None:
    made = driver(tmp_path, "train.sh --c {config} -o '{run_dir}/a b' --x {other} ';rm'")
    found = made.build_command(plan(), Path("/c d.yaml"), Path("/o p"), Length())
    assert found == ["train.sh", "--c", "/c d.yaml", "-o", "/o p/a b", "--x", "{other}", ";rm"]


def test_ours_gets_its_folder_its_half_of_the_validation_rows_and_its_names(tmp_path: Path) -> None:
    found = words(tmp_path, driver(tmp_path), plan())
    assert found[0] == sys.executable and found[found.index("--run-dir") + 1].endswith("run")
    assert found[found.index("--validation_part") + 1] == "selection"
    assert found[found.index("--wandb.group") + 1] == "tune-my"
    assert found[found.index("--wandb.name") + 1] == "tune-my-003"


def test_ours_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "runs/003-full/run/epoch_0_step_9").mkdir(parents=True)
    found = words(tmp_path, driver(tmp_path), plan())
    assert f"--resume={tmp_path / 'runs/003-full/run'}" in found and "--run-dir" not in found


def test_a_probe_keeps_the_schedule_of_the_whole_run(tmp_path: Path) -> None:
    found = words(tmp_path, driver(tmp_path), plan("probe", 20), Length(60, 320.0))
    assert found[found.index("--step_scheduler.max_steps") + 1] == "20"
    assert found[found.index("--lr_scheduler.lr_decay_steps") + 1] == "60"


def test_a_probe_of_another_trainer_is_ended_from_outside(tmp_path: Path) -> None:
    assert driver(tmp_path, "x {config}").find_last_step(plan("probe", 20)) == 20
    assert driver(tmp_path).find_last_step(plan("probe", 20)) is None


def test_torchruns_words_go_before_the_program(tmp_path: Path) -> None:
    more = {"launcher": "torchrun", "launcher_words": ("--nproc-per-node", "2")}
    ours = words(tmp_path, driver(tmp_path, **more), plan())
    assert "elastic.py" in ours[2] and ours[3:5] == ["--nproc-per-node", "2"]
    theirs = words(tmp_path, driver(tmp_path, "my_train {config}", **more), plan())
    assert theirs[1:] == ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python",
                          "my_train", "c.yaml"]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "total"),
    [({}, 60), ({"step_scheduler.global_batch_size": 32}, 30),
     ({"step_scheduler.num_epochs": 1}, 20), ({"step_scheduler.max_steps": 40}, 40)],
)  # fmt: skip
def test_the_length_of_a_run_follows_from_its_values(values: dict[str, object], total: int) -> None:
    assert count_planned_steps(plan(**values).values, Length(60, 320.0)) == total


def test_a_config_is_written_in_its_own_language_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "my.json"
    path.write_text(json.dumps({"learning_rate": 1e-4, "per_device_train_batch_size": 4}, indent=1))
    start = read_start(path)
    text, diff = write_values(start, [TrialChange("optimizer.lr", "set", 1e-4, 3e-5)])
    assert json.loads(text) == {"learning_rate": 3e-5, "per_device_train_batch_size": 4}
    assert diff.count("\n-") == 1 and '+ "learning_rate": 0.00003' in diff
