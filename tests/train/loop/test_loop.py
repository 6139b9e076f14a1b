"""Epochs, cadences, and what goes wrong."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.precision import TRAINED32  # noqa: E402
from tests.train.loop.standins import (  # noqa: E402
    ListLoader,
    Setup,
    loss_sum,
    losses_of,
    make_batch,
    with_steps,
)
from train.config.types import SafetyConfig, ScheduleConfig, StepConfig  # noqa: E402
from train.errors import StepError, TrainConfigError  # noqa: E402
from train.loop import TrainingLoop  # noqa: E402
from train.plan import plan_steps  # noqa: E402

HELD_OUT = [make_batch([6, 7], 100 + seed) for seed in range(2)]


def setup(**fields: Any) -> Setup:
    """12 micro-batches, windows of 2: 6 steps an epoch."""
    steps = StepConfig(
        global_batch_size=2, local_batch_size=1, num_epochs=2, ckpt_every_steps=4, val_every_steps=3
    )
    return Setup(steps=steps, **fields)


def names(directory: Path) -> list[str]:
    return sorted(
        (p.name for p in directory.iterdir() if p.is_dir() and not p.is_symlink()),
        key=lambda name: int(name.rpartition("_")[2]),
    )


def test_epochs_bound_the_steps() -> None:
    outcome, sink = setup().run()
    assert outcome.status == "finished"
    assert [r.step for r in sink.steps] == list(range(12))
    assert [r.epoch for r in sink.steps] == [0] * 6 + [1] * 6


def test_max_steps_bounds_the_epochs() -> None:
    _, sink = with_steps(setup(), max_steps=8).run()
    assert [r.step for r in sink.steps] == list(range(8))


def test_a_short_last_window_is_a_step_of_its_own() -> None:
    run = with_steps(setup(), global_batch_size=5, num_epochs=1)
    _, sink = run.run()
    assert [r.rows for r in sink.steps] == [15, 15, 6]


def test_a_stream_ends_at_max_steps_or_with_its_epochs() -> None:
    parts, sink = with_steps(setup(), max_steps=9, num_epochs=3).build()
    assert isinstance(parts.train, ListLoader)
    plan = plan_steps(StepConfig(global_batch_size=2, max_steps=9, num_epochs=3), None)
    TrainingLoop(replace(parts, plan=plan)).run()
    assert [(r.epoch, r.step) for r in sink.steps][5:8] == [(0, 5), (1, 6), (1, 7)]
    assert len(sink.steps) == 9


def test_a_stream_without_max_steps_is_refused() -> None:
    with pytest.raises(TrainConfigError, match="max_steps"):
        plan_steps(StepConfig(), None)


def test_indivisible_batches_name_the_sizes_that_would_do() -> None:
    with pytest.raises(TrainConfigError, match=r"20 is not a multiple .* 8; 16 or 24 would do"):
        plan_steps(StepConfig(global_batch_size=20, local_batch_size=8), 100)


def test_checkpoints_stand_at_the_cadence_the_epochs_ends_and_the_last_step(tmp_path: Path) -> None:
    with_steps(setup(directory=tmp_path), max_steps=11).run()
    assert names(tmp_path) == [
        "epoch_0_step_3", "epoch_0_step_5", "epoch_1_step_7", "epoch_1_step_10"
    ]  # fmt: skip
    assert (tmp_path / "LATEST").readlink() == Path("epoch_1_step_10")


def test_no_cadence_means_once_an_epoch(tmp_path: Path) -> None:
    with_steps(setup(directory=tmp_path), ckpt_every_steps=None).run()
    assert names(tmp_path) == ["epoch_0_step_5", "epoch_1_step_11"]


def test_validation_stands_at_its_cadence_and_at_every_checkpoint() -> None:
    _, sink = setup(validation=HELD_OUT).run()
    assert [(r.step, r.epoch) for r in sink.validations] == [
        (-1, 0), (2, 0), (3, 0), (5, 0), (7, 1), (8, 1), (11, 1)
    ]  # fmt: skip


def test_the_baseline_is_the_model_before_the_first_step() -> None:
    run = setup(validation=HELD_OUT)
    outcome, sink = run.run()
    parts, _ = run.build()
    found = parts.evaluator.evaluate(HELD_OUT)
    assert found is not None
    assert sink.validations[0].baseline
    assert outcome.baseline_loss == sink.validations[0].val_loss == found.loss


def test_validation_does_not_change_what_is_learnt() -> None:
    _, with_it = setup(validation=HELD_OUT).run()
    _, without = setup().run()
    assert [r.loss for r in with_it.steps] == [r.loss for r in without.steps]


def test_the_same_seed_gives_the_same_losses() -> None:
    assert [r.loss for r in setup().run()[1].steps] == [r.loss for r in setup().run()[1].steps]


def test_the_logged_rate_is_the_next_steps() -> None:
    run = setup(schedule=ScheduleConfig(lr_decay_style="linear", lr_warmup_steps=0, min_lr=0.0))
    _, sink = run.run()
    assert sink.steps[0].lr == pytest.approx(0.05 * 11 / 12)
    assert sink.steps[-1].lr == 0.0


def test_lowest_val_points_to_the_checkpoint_with_the_lowest_loss(tmp_path: Path) -> None:
    outcome, _ = setup(directory=tmp_path, validation=HELD_OUT).run()
    losses = {name: losses_of(tmp_path / name)["val_loss"] for name in names(tmp_path)}
    best = (tmp_path / "LOWEST_VAL").readlink().name
    assert losses[best] == min(losses.values())
    assert outcome.lowest_val_loss is not None
    assert outcome.lowest_val_loss <= losses[best]


def test_keep_last_spares_the_best(tmp_path: Path) -> None:
    run = setup(directory=tmp_path, validation=HELD_OUT, keep_last=2)
    with_steps(run, ckpt_every_steps=1).run()
    best = (tmp_path / "LOWEST_VAL").readlink().name
    assert set(names(tmp_path)) == {best, "epoch_1_step_10", "epoch_1_step_11"}


@pytest.mark.parametrize("at", range(1, 12))
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(at: int, tmp_path: Path) -> None:
    run = with_steps(setup(validation=HELD_OUT, schedule=ScheduleConfig()), ckpt_every_steps=1)
    _, expected = replace(run, directory=tmp_path).run()
    _, resumed = replace(run, directory=tmp_path).run(names(tmp_path)[at - 1])
    assert [(r.step, r.loss, r.grad_norm, r.lr) for r in resumed.steps] == [
        (r.step, r.loss, r.grad_norm, r.lr) for r in expected.steps[at:]
    ]
    assert [r.val_loss for r in resumed.validations] == [
        r.val_loss for r in expected.validations if r.step >= at
    ]


def test_a_finished_run_that_is_resumed_with_more_epochs_goes_on(tmp_path: Path) -> None:
    _, longer = with_steps(setup(), num_epochs=3).run()
    setup(directory=tmp_path).run()
    _, more = with_steps(setup(directory=tmp_path), num_epochs=3).run("latest")
    assert [r.loss for r in more.steps] == [r.loss for r in longer.steps[12:]]


def poison(when: Any) -> Any:
    calls = {"n": 0}

    def loss(model: Any, batch: Any) -> Any:
        value, count = loss_sum(model, batch)
        if model.training:
            calls["n"] += 1
            if when(calls["n"]):
                value = value * math.nan
        return value, count

    return loss


def test_a_step_that_is_not_finite_is_logged_and_not_applied() -> None:
    outcome, sink = setup(loss_sum=poison(lambda n: n == 7)).run()
    bad = sink.steps[3]
    assert bad.skipped
    assert math.isnan(bad.loss)
    assert outcome.skipped == 1
    assert all(math.isfinite(r.loss) for r in sink.steps if r.step != 3)
    assert [e.step for e in sink.events("overflow_skip")] == [3]


def test_many_steps_in_a_row_that_are_not_finite_stop_the_run(tmp_path: Path) -> None:
    run = setup(
        loss_sum=poison(lambda n: n > 8),
        safety=SafetyConfig(max_nonfinite_steps=3),
        directory=tmp_path,
    )
    with pytest.raises(StepError, match="step 6: 3 steps in a row"):
        run.run()
    assert (tmp_path / "LATEST").readlink().name == "epoch_1_step_6"


def cramped(limit: int) -> Any:
    def loss(model: Any, batch: Any) -> Any:
        if batch.input_ids.numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss_sum(model, batch)

    return loss


def test_out_of_memory_ends_the_run_with_the_batchs_shape_and_what_to_do() -> None:
    parts, sink = setup(loss_sum=cramped(10)).build()
    with pytest.raises(StepError, match=r"18 tokens.*halve_batch_on_oom"):
        TrainingLoop(parts).run()
    (event,) = sink.events("oom")
    assert event.details["tokens"] == 18
    assert "out of memory" in event.text


def test_out_of_memory_is_survived_in_smaller_pieces_with_the_same_losses() -> None:
    _, free = setup(dropout=0.0).run()
    safety = SafetyConfig(halve_batch_on_oom=True)
    _, tight = setup(dropout=0.0, loss_sum=cramped(14), safety=safety).run()
    assert [r.loss for r in tight.steps] == pytest.approx(
        [r.loss for r in free.steps], rel=TRAINED32
    )
    assert [r.rows for r in tight.steps] == [r.rows for r in free.steps]
    assert len(tight.events("oom")) == 1


def test_a_sample_that_fits_nowhere_ends_the_run() -> None:
    safety = SafetyConfig(halve_batch_on_oom=True)
    with pytest.raises(StepError, match="shorten the samples"):
        setup(loss_sum=cramped(3), safety=safety).run()


def test_a_run_that_never_beats_the_base_model_says_so() -> None:
    run = setup(validation=HELD_OUT, max_norm=None)
    run.optimizer = replace(run.optimizer, lr=5.0)
    _, sink = run.run()
    assert any("never came below" in e.text for e in sink.events("warning"))


def test_sigterm_saves_after_the_step_and_ends(tmp_path: Path) -> None:
    def killed_at_four(model: Any, batch: Any) -> Any:
        if model.training:
            killed_at_four.calls += 1
            if killed_at_four.calls == 9:
                os.kill(os.getpid(), signal.SIGTERM)
        return loss_sum(model, batch)

    killed_at_four.calls = 0
    run = with_steps(setup(directory=tmp_path, validation=HELD_OUT), ckpt_every_steps=None)
    run = with_steps(run, val_every_steps=None)
    _, expected = replace(run, directory=None).run()
    outcome, sink = replace(run, loss_sum=killed_at_four).run()
    assert (outcome.status, outcome.signal, outcome.steps) == ("stopped", "SIGTERM", 5)
    assert names(tmp_path) == ["epoch_0_step_4"]
    _, rest = run.run("latest")
    assert [r.loss for r in sink.steps + rest.steps] == [r.loss for r in expected.steps]


def test_signal_handlers_are_as_before_after_a_run() -> None:
    before = signal.getsignal(signal.SIGTERM)
    setup().run()
    assert signal.getsignal(signal.SIGTERM) is before


def test_times_of_the_phases_are_within_the_step() -> None:
    _, sink = setup().run()
    for row in sink.steps:
        parts = row.time_data + row.time_forward + row.time_backward + row.time_optimizer
        assert 0 < parts <= row.time_step


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    setup(directory=tmp_path).run()
    kinds = {p.suffix for p in tmp_path.rglob("*") if p.is_file()}
    assert kinds == {".safetensors", ".json", ".yaml"}


def test_losses_of_a_checkpoint_are_those_of_its_step(tmp_path: Path) -> None:
    _, sink = setup(directory=tmp_path, validation=HELD_OUT).run()
    held = losses_of(tmp_path / "epoch_0_step_3")
    assert held["train_loss"] == sink.steps[3].loss
    assert held["val_loss"] == next(r.val_loss for r in sink.validations if r.step == 3)
    assert json.loads((tmp_path / "epoch_0_step_3" / "progress.json").read_text())["step"] == 4
