"""Whether the last steps went well."""

from __future__ import annotations

import math
import random

from train.advice.health import Health


def fed(losses: list[float], norms: list[float] | None = None) -> Health:
    health = Health()
    for step, loss in enumerate(losses):
        health.add(step, loss, norms[step] if norms else 1.0)
    return health


def noisy(count: int, low: float = 2.0, noise: float = 0.1, seed: int = 0) -> list[float]:
    chance = random.Random(seed)
    return [low + 1.5 * 0.95**i + chance.gauss(0, noise) for i in range(count)]


def test_a_noisy_loss_that_falls_is_well_nearly_always() -> None:
    good = sum(fed(noisy(n, seed=n)).well for n in range(20, 120))
    assert good >= 90


def test_a_loss_that_left_its_level_is_not_well_and_says_since_when() -> None:
    health = fed([*noisy(60), 6.0, 7.0, 8.0])
    assert not health.well
    assert health.above == 3 and health.since == 60


def test_a_loss_that_blows_up_in_its_first_steps_is_not_well() -> None:
    assert not fed([7.6, 10.2, 12.4, 10.9, 11.2]).well


def test_losses_that_are_no_numbers_are_counted_in_a_row() -> None:
    health = fed([*noisy(20), math.nan, 1.0, math.nan, math.inf])
    assert health.bad == 2 and health.since == 22


def test_a_gradient_far_above_its_median_is_not_well() -> None:
    losses = noisy(30)
    assert not fed(losses, [*[1.0] * 29, 50.0]).well


def test_a_level_that_stays_higher_becomes_the_level() -> None:
    assert fed([*noisy(40), *(4.0 + 0.01 * (i % 3) for i in range(80))]).well
