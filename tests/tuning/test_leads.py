"""How two runs of a session are laid beside each other: which part, which error, from when on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from advisor.tuning.strategy.curves import (
    is_above_start,
    loss_at_start,
    measure_lead,
    probe_samples,
)
from advisor.tuning.trial import Trial
from tests.tuning.test_strategy import BATCH, LR, START


def run(losses: np.ndarray, every: int = 1, **values: object) -> Trial:
    """A whole run with these losses, one in so many steps."""
    keys = {key.replace("__", "."): value for key, value in values.items()}
    steps = np.arange(losses.size) * every + every - 1
    return Trial(1, {**START, **keys}, "full", "finished", loss_steps=steps, losses=losses)


def evaluated(trial: Trial, steps: list[int], losses: list[float]) -> Trial:
    return replace(trial, val_steps=np.array(steps), val_losses=np.array(losses, dtype=float))


def noise(seed: int, size: int = 400) -> np.ndarray:
    return 2 + 0.2 * np.random.default_rng(seed).standard_normal(size)


def variance(values: np.ndarray) -> float:
    return float((1.4826 * np.median(np.abs(values - np.median(values)))) ** 2)


def test_runs_of_other_batches_are_compared_over_the_later_half_of_their_samples() -> None:
    one, other = run(noise(1)), run(noise(2), **{BATCH: 16, LR: 2e-3})
    found = measure_lead(one, other)
    left, right = one.losses[200:], other.losses[100:200]  # samples 1,600 to 3,200 of both
    assert found is not None and found.value == pytest.approx(left.mean() - right.mean())
    error = math.sqrt(variance(left) / left.size + variance(right) / right.size)
    assert found.error == pytest.approx(error / 2)


def test_no_error_is_smaller_than_a_thousandth_of_the_level() -> None:
    flat = np.full(100, 2.0)
    assert measure_lead(run(flat), run(flat)) is not None
    assert measure_lead(run(flat), run(flat)).error == pytest.approx(2e-3)  # type: ignore[union-attr]


def test_evaluations_decide_where_both_have_one_in_the_later_half() -> None:
    one = evaluated(run(noise(1, 100)), [49, 99], [1.5, 1.2])
    other = evaluated(run(noise(2, 100)), [49, 99], [1.4, 1.0])
    found = measure_lead(one, other, noise=0.03)
    assert found is not None and found.value == pytest.approx(0.2)
    assert found.error == pytest.approx(0.03 * math.sqrt(2))


@pytest.mark.parametrize(("step", "is_used"), [(49, True), (44, False)])
def test_an_evaluation_in_the_first_half_says_nothing_of_the_end(step: int, is_used: bool) -> None:
    one = evaluated(run(np.full(100, 2.0)), [step], [1.5])
    other = evaluated(run(np.full(100, 2.0)), [step], [1.0])
    found = measure_lead(one, other)
    assert found is not None and found.value == pytest.approx(0.5 if is_used else 0.0)


@pytest.mark.parametrize(
    ("points", "every", "expected"),
    [
        (100, 1, 25 * 8),  # a quarter of the run
        (10, 1, 4 * 8),  # four losses, where a quarter holds fewer
        (6, 1, None),  # four losses are more than 0.6 of it: no probe is cheaper than that
        (7, 1, 4 * 8),
        (3, 1, None),
        (4, 10, None),
    ],
)
def test_a_probe_is_a_quarter_of_a_run_and_four_losses(
    points: int, every: int, expected: float | None
) -> None:
    assert probe_samples(run(np.linspace(3, 2, points), every)) == expected


def test_a_run_unlearns_where_its_second_half_lies_above_its_first_two_losses() -> None:
    losses = np.array([1.0, 1.1, 9.0, 9.0, 9.0, 1.2, 1.2, 1.2, 1.2, 9.0])
    assert not is_above_start(run(losses))  # a third half would end above
    assert is_above_start(run(np.array([1.0, 1.0, 1.5, 1.5, 1.5, 1.5])))  # the third is no start
    assert not is_above_start(run(losses[:3]))


def test_where_all_began_is_the_median_of_first_losses_or_the_highest_first_evaluation() -> None:
    runs = [run(np.array([first, 2.0, 2.0, 2.0])) for first in (3.0, 3.2, 9.0)]
    assert loss_at_start(runs) == 3.2
    assert loss_at_start([*runs[:2], evaluated(runs[2], [1, 3], [4.0, 3.5])]) == 4.0
    assert loss_at_start([]) is None
