"""The bracket of the learning rate beside closed forms, and how a lead of two runs is measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.tuning.space import Room
from advisor.tuning.strategy.curves import is_above_start, measure_lead
from advisor.tuning.strategy.rates import (
    CLOSE,
    Point,
    _find_bottom,
    _halve_bracket,
    _step_outward,
    next_rate,
)
from advisor.tuning.trial import BriefFinding, Trial
from tests.tuning.test_strategy import LR, START, simulate


def points(*gaps: float, step: float = 1.0) -> list[Point]:
    return [Point(i * step, gap, 0.01) for i, gap in enumerate(gaps)]


@given(st.floats(-0.29, 0.29), st.floats(0.1, 5), st.floats(0.6, 1.5))
def test_between_three_rates_the_parabola_is_lowest(low: float, bend: float, step: float) -> None:
    left, here, right = (Point(at, bend * (at - low * step) ** 2, 0.0) for at in (-step, 0.0, step))
    assume(abs(abs(low * step) - CLOSE) > 1e-9)
    found = _find_bottom(left, here, right)
    if abs(low * step) >= CLOSE:
        assert found == pytest.approx(low * step, abs=1e-9)
    else:  # nearer than runs can tell: the middle of the better half
        assert abs(found) == pytest.approx(step / 2)


def test_a_wall_says_nothing_of_the_valley() -> None:
    left, here, wall = Point(0, 0.2, 0.01), Point(1, 0.0, 0.01), Point(2, math.inf, 0.0)
    assert _find_bottom(left, here, wall) == pytest.approx(0.5)
    assert _find_bottom(Point(0.4, 0.2, 0.01), here, wall) == pytest.approx(1.5)  # the wider half


@pytest.mark.parametrize(("step", "expected"), [(0.54, None), (0.56, 0.28)])
def test_a_bracket_is_halved_down_to_half_a_decade(step: float, expected: float | None) -> None:
    found = _halve_bracket(points(0.3, 0.0, 0.31, step=step))
    assert (found is None) == (expected is None)


@pytest.mark.parametrize(
    ("gaps", "lean", "expected"),
    [
        ((0.0,), 0, 0.4), ((0.0,), 1, 0.4), ((0.0,), -1, -0.4),
        ((0.1, 0.0), 0, 1.4), ((0.0, 0.1), 0, -0.4), ((0.0, 0.1), 1, -0.4),
        ((0.1, 0.0, 0.1), 0, None),
    ],
)  # fmt: skip
def test_the_side_that_nothing_bounds_is_tried(
    gaps: tuple[float, ...], lean: int, expected: float | None
) -> None:
    found = _step_outward(points(*gaps), lean, 0.4)
    assert (found and found[0]) == (expected if expected is None else pytest.approx(expected))


def test_the_first_bracket_is_sought_by_decades_and_a_broken_rate_by_one_down() -> None:
    start = simulate(START)
    found = next_rate(start, start, [start], Room({}))
    assert found is not None and found[0] == pytest.approx(1e-2)
    hot = simulate({**START, LR: 0.3})
    found = next_rate(hot, hot, [hot], Room({}))
    assert found is not None and found[0] == pytest.approx(0.03) and "failed" in found[1]
    low = replace(start, findings=(BriefFinding("LR001", "lr_too_low", "warning"),))
    assert next_rate(low, low, [low], Room({})) == (
        pytest.approx(1e-2),
        "the diagnosis wants a higher rate",
    )


def test_no_rate_is_proposed_so_near_that_no_run_tells_it_apart() -> None:
    start = simulate(START)
    assert next_rate(start, start, [start], Room({LR: (1e-3, 1.3e-3)})) is None
    assert next_rate(start, start, [start], Room({LR: (1e-3, 1.4e-3)})) is not None


def curve(level: float, noise: float, seed: int, steps: int = 200) -> Trial:
    rng = np.random.default_rng(seed)
    losses = level + noise * rng.standard_normal(steps)
    return Trial(1, dict(START), "full", "finished", loss_steps=np.arange(steps), losses=losses)


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.5])
def test_the_lead_of_paired_runs_is_the_mean_of_their_gaps_over_the_second_half(gap: float) -> None:
    one, other = curve(2 + gap, 0.1, 1), curve(2, 0.1, 2)
    found = measure_lead(one, other)
    gaps = one.losses[100:] - other.losses[100:]
    assert found is not None and found.value == pytest.approx(float(gaps.mean()))
    sd = 1.4826 * float(np.median(np.abs(gaps - np.median(gaps))))
    assert found.error == pytest.approx(max(sd / 10, 1e-3 * 2))
    assert measure_lead(other, one) is not None and measure_lead(other, one).value == pytest.approx(
        -found.value
    )  # type: ignore[union-attr]


def test_a_run_that_broke_trails_by_any_measure() -> None:
    broken = curve(2, 0.1, 1)
    broken = replace(broken, losses=np.where(np.arange(200) > 150, np.nan, broken.losses))
    found = measure_lead(broken, curve(2, 0.1, 2))
    assert found is not None and found.value == math.inf


@pytest.mark.parametrize(("steps", "is_told"), [(3, True), (2, False), (1, False)])
def test_a_lead_needs_two_gaps(steps: int, is_told: bool) -> None:
    one, other = curve(2, 0.1, 1, steps), curve(2, 0.1, 2, steps)
    assert (measure_lead(one, other) is not None) == is_told


@pytest.mark.parametrize(("level", "unlearns"), [(1.1, False), (1.2, True), (math.nan, True)])
def test_a_run_unlearns_a_seventh_above_its_first_losses(level: float, unlearns: bool) -> None:
    losses = np.where(np.arange(20) < 5, 1.0, level)
    assert is_above_start(replace(curve(1, 0, 1, 20), losses=losses)) == unlearns
