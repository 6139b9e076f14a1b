"""What the loop does when the advisor asks for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from advisor.findings import Edit  # noqa: E402
from tests.train.advice.advised import Broken, Scripted, World, change  # noqa: E402
from train.checkpoint import Checkpoints, Snapshot  # noqa: E402
from train.config.types import ScheduleConfig  # noqa: E402
from train.loop import TrainingLoop  # noqa: E402
from train.schedule import lr_at, plan_schedule  # noqa: E402

CUT = (Edit("optimizer.lr", "multiply", 0.3),)


def quiet() -> Scripted:
    return Scripted()


def diverges(step: int = 7, first: int = 4, edits: tuple[Edit, ...] = CUT) -> Scripted:
    return Scripted({step: [change(step, first_step=first)]}, edits)


def test_a_stop_ends_the_run_after_the_step_and_saves(tmp_path: Path) -> None:
    outcome, kept = World(tmp_path, [lambda: Scripted({5: [change(5, "stop")]})]).run()
    assert outcome.status == "stopped" and outcome.steps == 6
    assert outcome.advice is not None and outcome.advice.kind == "stop"
    assert (tmp_path / "LATEST").resolve().name.endswith("_step_5")
    (said,) = kept.events("stop")
    assert "LR007" in said.text and said.step == 6


def test_a_rollback_takes_a_state_from_before_the_onset_and_cuts_the_rate(tmp_path: Path) -> None:
    outcome, kept = World(tmp_path, [diverges, quiet]).run()
    (said,) = kept.events("rollback")
    assert said.details["to_step"] == 4 and said.details["from_step"] == 7
    assert said.details["lr_factor"] == 0.3 and said.details["skipped_steps"] == 4
    assert outcome.status == "finished" and outcome.actions == 1
    before, after = kept.steps[:8], kept.steps[8:]
    assert [r.step for r in before] == list(range(8))
    assert [r.step for r in after] == list(range(4, 12))
    assert after[0].lr == pytest.approx(0.3 * before[0].lr)


def test_the_batches_between_are_passed_by(tmp_path: Path) -> None:
    parts, _ = World(tmp_path, [diverges, quiet]).build()
    TrainingLoop(parts).run()
    # epoch 1 has 6 steps of 2 batches: 6 and 7 were taken before the rollback, 8 to 11 after it
    state = parts.train.state_dict()
    assert state["epoch"] == 2 and state["taken"] == 8


def test_without_a_factor_in_the_plan_the_rate_is_halved(tmp_path: Path) -> None:
    _, kept = World(tmp_path, [lambda: diverges(edits=()), quiet]).run()
    (said,) = kept.events("rollback")
    assert said.details["lr_factor"] == 0.5


def test_a_cut_that_did_not_help_is_followed_by_a_leap(tmp_path: Path) -> None:
    again = [diverges, lambda: diverges(6, 5), quiet]
    _, kept = World(tmp_path, again).run()
    assert [e.details["lr_factor"] for e in kept.events("rollback")] == pytest.approx([0.3, 0.03])


def test_rollbacks_are_bounded_and_that_is_said_once(tmp_path: Path) -> None:
    outcome, kept = World(tmp_path, [diverges], most=2).run()
    assert outcome.actions == 2 and outcome.status == "finished"
    assert len([e for e in kept.events("notice") if "max_actions" in e.text]) == 1


def test_a_run_that_went_back_takes_all_its_steps(tmp_path: Path) -> None:
    outcome, kept = World(tmp_path, [diverges, quiet]).run()
    assert outcome.steps == 12 and kept.steps[-1].step == 11


def test_checkpoints_of_undone_steps_are_gone_but_for_the_best(tmp_path: Path) -> None:
    world = World(tmp_path, [lambda: diverges(9, 4), quiet])
    _, kept = world.run()
    (said,) = kept.events("rollback")
    best = (tmp_path / "LOWEST_VAL").resolve().name
    removed = said.details["removed"]
    assert isinstance(removed, list) and best not in removed


def test_overfitting_ends_the_run_with_the_lowest_validation_as_its_result(tmp_path: Path) -> None:
    over = Scripted({9: [change(9, code="EP004", symptom="overfit")]})
    outcome, kept = World(tmp_path, [lambda: over]).run()
    assert outcome.status == "stopped" and outcome.steps == 10
    lowest = min(kept.validations, key=lambda r: (r.val_loss, r.step))
    assert outcome.checkpoint is not None
    assert Path(outcome.checkpoint).name.endswith(f"_step_{lowest.step}")
    losses = json.loads((Path(outcome.checkpoint) / "losses.json").read_text())
    assert losses["val_loss"] == lowest.val_loss


def test_a_finding_that_was_taken_back_is_not_acted_on(tmp_path: Path) -> None:
    spikes = {"code": "LR004", "symptom": "spikes"}
    script = {6: [change(6, **spikes)], 7: [change(7, kind="withdrawn", **spikes)]}
    outcome, _ = World(tmp_path, [lambda: Scripted(script)]).run()
    assert outcome.actions == 0


def test_a_spike_that_heals_is_left_alone(tmp_path: Path) -> None:
    script = {6: [change(6, code="LR004", symptom="spikes", first_step=6)]}
    outcome, kept = World(tmp_path, [lambda: Scripted(script)]).run()
    assert outcome.actions == 0 and len(kept.events("finding")) == 1


def test_an_acted_run_that_is_resumed_keeps_factor_count_and_place(tmp_path: Path) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    whole.mkdir(), other.mkdir()
    _, expected = World(whole, [diverges, quiet]).run()

    def at(folder: Path, name: str) -> Callable[[Checkpoints], Snapshot]:
        def load(checkpoints: Checkpoints) -> Snapshot:
            return checkpoints.load(folder / name)

        return load

    World(other, [diverges, quiet]).run()
    # what a kill right after the rollback leaves: the checkpoint that it saved
    outcome, kept = World(other, [quiet]).run(at(other, "epoch_1_step_3"))
    assert outcome.actions == 1 and outcome.steps == 12
    expect = [(r.step, r.loss, r.lr) for r in expected.steps[8:]]
    assert [(r.step, r.loss, r.lr) for r in kept.steps] == expect


def test_a_fault_of_the_advisor_is_told_once_and_the_run_goes_on(tmp_path: Path) -> None:
    outcome, kept = World(tmp_path, [Broken]).run()
    assert outcome.status == "finished" and outcome.steps == 12
    (said,) = kept.events("notice")
    assert "advisor is off" in said.text and "ZeroDivisionError" in said.text


def test_a_factor_scales_the_whole_schedule() -> None:
    plan = plan_schedule(ScheduleConfig(), 1e-3, 100)
    half = replace(plan, factor=0.5)
    assert [lr_at(i, half) for i in range(100)] == [0.5 * lr_at(i, plan) for i in range(100)]


def test_a_run_that_kept_no_states_goes_back_to_a_checkpoint(tmp_path: Path) -> None:
    """It was started without `act`, and resumed with it when it had gone wrong."""
    World(tmp_path, [Scripted]).run()
    shutil.rmtree(tmp_path / ".good")

    def last(checkpoints: Checkpoints) -> Snapshot:
        return checkpoints.load(tmp_path / "epoch_1_step_7")

    _, kept = World(tmp_path, [lambda: diverges(9, 4), quiet], every=100).run(last)
    (said,) = kept.events("rollback")
    assert said.details["to_step"] == 4


def test_without_anything_to_go_back_to_that_is_said_once(tmp_path: Path) -> None:
    World(tmp_path, [Scripted]).run()
    shutil.rmtree(tmp_path / ".good")

    def last(checkpoints: Checkpoints) -> Snapshot:
        return checkpoints.load(tmp_path / "epoch_1_step_7")

    outcome, kept = World(tmp_path, [lambda: diverges(9, 1), quiet], every=100).run(last)
    assert outcome.actions == 0 and outcome.status == "finished"
    assert len([e for e in kept.events("warning") if "to go back to" in e.text]) == 1
