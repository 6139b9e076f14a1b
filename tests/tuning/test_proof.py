"""The gain is told with its uncertainty: a paired bootstrap, and none where noise explains it."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.tuning.choice import best_of, is_better, judge_change
from advisor.tuning.proof import Losses, bootstrap
from advisor.tuning.trial import Kind, Status, Trial


def losses(values: np.ndarray, tokens: int = 10) -> Losses:
    return Losses(values * tokens, np.full(values.size, float(tokens)))


def test_means_are_over_tokens_not_over_samples() -> None:
    one = Losses(np.array([10.0, 90.0]), np.array([10.0, 30.0]))
    assert bootstrap(one, one)[0].value == pytest.approx(100 / 40)


def test_a_small_even_gain_is_clear_although_samples_differ_widely() -> None:
    hard = np.random.default_rng(0).gamma(2.0, 1.0, 60)
    first, _, gain = bootstrap(losses(hard), losses(hard - 0.05))
    assert first.low is not None and first.high is not None
    assert first.high - first.low > 0.3
    assert gain.low is not None and 0.04 < gain.low <= gain.value == pytest.approx(0.05)


def test_a_gain_of_chance_has_an_interval_that_holds_zero() -> None:
    random = np.random.default_rng(1)
    hard = random.gamma(2.0, 1.0, 60)
    _, _, gain = bootstrap(losses(hard), losses(hard + random.normal(0, 0.5, 60)))
    assert gain.low is not None and gain.high is not None and gain.low < 0 < gain.high


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        one = random.gamma(2.0, 1.0, 80)
        _, _, gain = bootstrap(losses(one), losses(one - 0.1 + random.normal(0, 0.3, 80)))
        held += gain.low is not None and gain.high is not None and gain.low < 0.1 < gain.high
    assert held >= 88


def trial(
    number: int, loss: float | None, kind: Kind = "full", status: Status = "finished"
) -> Trial:
    return Trial(number, {}, kind, status, best_val=loss, noise=0.01)


def test_a_probe_or_a_crash_is_never_the_best() -> None:
    runs = [trial(1, 2.0), trial(2, 1.0, "probe"), trial(3, 1.0, status="crashed"), trial(4, None)]
    best = best_of(runs)
    assert best is not None and best.number == 1


def test_of_equal_runs_the_earlier_is_the_best() -> None:
    best = best_of([trial(1, 2.0), trial(2, 2.0)])
    assert best is not None and best.number == 1


@pytest.mark.parametrize(("loss", "word"), [(1.9, "kept"), (1.99, "even"), (2.5, "reverted")])
def test_a_change_is_kept_where_its_gain_is_beyond_the_noise(loss: float, word: str) -> None:
    assert judge_change(trial(2, loss), [trial(1, 2.0)]) == word


def test_any_loss_is_better_than_none() -> None:
    assert is_better(trial(2, 9.0), trial(1, None), 0.01)
