"""The shorthand of series, and what a case is told."""

from __future__ import annotations

import math

import numpy as np
import pytest

from advisor.cli.rule_cases import run_cases
from advisor.errors import RuleError
from advisor.rulebook.cases import check_case, make_run
from advisor.rulebook.rule import Case, Rule, Rulebook


def values(text: str) -> list[float]:
    return make_run({"train/loss": text}).series["train/loss"].values.tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1x3", [1, 1, 1]),
        ("2-0.5x3", [2, 1.5, 1]),
        ("2+0.5x2 7", [2, 2.5, 7]),
        ("1e-5x2", [1e-5, 1e-5]),
        ("-1 .5", [-1, 0.5]),
        ("infx2", [math.inf, math.inf]),
    ],
)
def test_shorthand_gives_the_values_that_it_says(text: str, expected: list[float]) -> None:
    assert values(text) == pytest.approx(expected)


def test_a_decay_begins_at_its_first_value_and_ends_near_its_last() -> None:
    series = values("3>1x100")
    assert series[0] == 3
    assert series[-1] == pytest.approx(1, abs=0.03)


def test_a_missing_point_leaves_its_step_out() -> None:
    series = make_run({"train/loss": "1 _x2 2"}).series["train/loss"]
    assert series.steps.tolist() == [1, 4]
    assert series.values.tolist() == [1, 2]


def test_nan_is_a_value_and_not_a_missing_point() -> None:
    assert len(values("1 nan 2")) == 3


def test_noise_is_the_same_for_the_same_case_and_differs_between_series() -> None:
    runs = [make_run({"train/loss": "1~0.1x50", "eval/loss": "1~0.1x50"}) for _ in range(2)]
    first, again = (run.series["train/loss"].values for run in runs)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, runs[0].series["eval/loss"].values)


def test_every_and_epochs_place_the_points() -> None:
    run = make_run({"train/loss": "1x100", "eval/loss": "1x4"}, every={"eval/loss": 25}, epochs=2)
    assert run.series["eval/loss"].steps.tolist() == [25, 50, 75, 100]
    epochs = run.series["eval/loss"].epochs
    assert epochs is not None
    assert epochs.tolist() == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("text", ["", "abc", "1x0", "1x9999999999", "1>x3", "x3", "1x-3"])
def test_what_is_no_shorthand_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        values(text)


def test_a_case_with_unknown_keys_is_told_so() -> None:
    case = Case("c", "fires", {"loss": "1"}, config={"optimizer.rate": 1}, events=({"kind": "x"},))
    assert len(check_case(case, ())) == 3


RULE = Rule(
    "XX001", "x", "s", "config", "s", "m", "d", "info", "low", when="config.peft.dim > 8",
    unless=("XX002",),
    cases=(
        Case("large", "fires", config={"peft.dim": 16}),
        Case("small", "silent", config={"peft.dim": 8}),
        Case("unknown", "not_judged"),
    ),
)  # fmt: skip


def test_cases_are_answered_three_ways() -> None:
    assert all(result.passed for result in run_cases(RULE))


def test_a_case_that_another_rule_explains_is_silent() -> None:
    other = Rule(
        "XX002", "y", "s", "config", "s", "m", "d", "info", "low", when="config.peft.dim > 9"
    )
    result = run_cases(RULE, Rulebook((RULE, other)))[0]
    assert (result.answer, result.why) == ("silent", "explained by XX002")
