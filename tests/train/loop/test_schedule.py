"""The learning rate after so many completed steps."""

from __future__ import annotations

import pytest

from train.config.types import ScheduleConfig
from train.errors import TrainConfigError
from train.schedule import lr_at, plan_schedule

GOLDEN = {0: 1e-6, 1: 1.45e-6, 10: 5.5e-6, 20: 1e-5, 110: 5.05e-6, 199: 1.008e-7, 200: 1e-7}


@pytest.mark.parametrize(("done", "expected"), GOLDEN.items())
def test_cosine_has_the_golden_values(done: int, expected: float) -> None:
    plan = plan_schedule(ScheduleConfig(min_lr=1e-7), 1e-5, 200)
    assert lr_at(done, plan) == pytest.approx(expected, rel=5e-4)


def test_without_a_section_the_rate_is_constant_from_the_first_step() -> None:
    plan = plan_schedule(None, 3e-4, 50)
    assert {lr_at(n, plan) for n in range(51)} == {3e-4}


def test_warmup_is_a_tenth_of_the_steps_by_default() -> None:
    assert plan_schedule(ScheduleConfig(), 1e-5, 200).warmup == 20


def test_warmup_is_at_most_a_thousand_steps_by_default() -> None:
    assert plan_schedule(ScheduleConfig(), 1e-5, 50_000).warmup == 1000


def test_a_run_shorter_than_ten_steps_has_no_warmup_by_default() -> None:
    plan = plan_schedule(ScheduleConfig(), 1e-5, 9)
    assert plan.warmup == 0
    assert lr_at(0, plan) == 1e-5


def test_floor_is_a_hundredth_of_the_rate_by_default() -> None:
    plan = plan_schedule(ScheduleConfig(), 1e-3, 100)
    assert lr_at(100, plan) == pytest.approx(1e-5)
    assert lr_at(1000, plan) == pytest.approx(1e-5)


def test_linear_is_half_way_at_half_the_decay() -> None:
    plan = plan_schedule(
        ScheduleConfig(lr_decay_style="linear", lr_warmup_steps=0, min_lr=0.0), 1e-3, 100
    )
    assert lr_at(50, plan) == pytest.approx(5e-4)


def test_constant_style_still_warms_up() -> None:
    plan = plan_schedule(ScheduleConfig(lr_decay_style="constant", lr_warmup_steps=10), 1e-3, 100)
    assert lr_at(5, plan) == pytest.approx(5.5e-4)
    assert lr_at(90, plan) == 1e-3


def test_inverse_square_root_falls_to_half_at_four_warmups() -> None:
    plan = plan_schedule(
        ScheduleConfig(lr_decay_style="inverse-square-root", lr_warmup_steps=25), 1e-3, 1000
    )
    assert lr_at(100, plan) == pytest.approx(5e-4)


def test_wsd_is_flat_until_its_decay_begins() -> None:
    config = ScheduleConfig(
        lr_decay_style="WSD", lr_warmup_steps=10, wsd_decay_steps=20, lr_wsd_decay_style="linear",
        min_lr=0.0,
    )  # fmt: skip
    plan = plan_schedule(config, 1e-3, 100)
    assert lr_at(80, plan) == 1e-3
    assert lr_at(90, plan) == pytest.approx(5e-4)
    assert lr_at(100, plan) == 0.0


def test_a_run_shorter_than_its_warmup_never_leaves_it() -> None:
    plan = plan_schedule(ScheduleConfig(lr_warmup_steps=100), 1e-3, 20)
    assert lr_at(20, plan) < 3e-4


def test_warmup_beyond_a_stated_decay_is_refused() -> None:
    with pytest.raises(
        TrainConfigError, match="lr_warmup_steps: 100 is more than lr_decay_steps, 50"
    ):
        plan_schedule(ScheduleConfig(lr_warmup_steps=100, lr_decay_steps=50), 1e-3, 200)
