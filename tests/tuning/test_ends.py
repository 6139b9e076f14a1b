"""When the strategy stops, and which counts decide: probes, broken runs, runs without a gain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.tuning.space import Room
from advisor.tuning.strategy.moves import Move, _falls_to_the_end, find_first_new
from advisor.tuning.strategy.next_run import explain_hopeless, find_base, propose
from advisor.tuning.strategy.rates import next_rate, was_bracketed
from advisor.tuning.trial import Limits, Stop, Trial, TrialProposal
from tests.tuning.test_strategy import BATCH, BEST, LR, RANK, START, simulate

LOCAL, DROPOUT = "step_scheduler.local_batch_size", "peft.dropout"


def proposed(history: list[Trial], probes: bool = True) -> TrialProposal | Stop:
    return propose(history, history[0].values, Limits(probes=probes), 0.01)


@pytest.mark.parametrize(("probes", "kind"), [(1, "probe"), (11, "probe"), (12, "full")])
def test_twelve_probes_are_enough(probes: int, kind: str) -> None:
    start = simulate({**START, LR: 0.01 * BEST})
    first = proposed([start])
    assert isinstance(first, TrialProposal) and first.kind == "probe"
    same = simulate(first.values, 2, first.max_steps)
    found = proposed([start, *(replace(same, number=2 + i) for i in range(probes))])
    assert isinstance(found, TrialProposal) and found.kind == kind


@pytest.mark.parametrize(("runs", "goes_on"), [(1, True), (4, True), (5, False)])
def test_after_five_broken_runs_nobody_knows_what_to_mend(runs: int, goes_on: bool) -> None:
    broken = [
        replace(simulate({**START, LOCAL: 64 >> i}, i + 1), status="oom", best_val=None)
        for i in range(runs)
    ]
    found = proposed(broken)
    assert isinstance(found, TrialProposal) == goes_on
    if isinstance(found, TrialProposal):
        assert found.values[LOCAL] == 64 >> runs


@pytest.mark.parametrize(("idle", "goes_on"), [(2, True), (3, False)])
def test_three_whole_runs_without_a_gain_are_the_end(idle: int, goes_on: bool) -> None:
    history = [simulate(START)]
    for i in range(idle):
        worse = simulate({**START, "rng.seed": i}, 2 + i)
        history.append(replace(worse, best_val=float(worse.best_val or 0) + 1))
    found = proposed(history, probes=False)
    assert isinstance(found, TrialProposal) == goes_on
    if isinstance(found, Stop):
        assert "the last 3 whole runs gained nothing" in found.reason


@pytest.mark.parametrize(("runs", "is_so"), [(2, False), (3, True)])
def test_three_rates_beside_each_other_are_a_bracket(runs: int, is_so: bool) -> None:
    history = [simulate({**START, LR: BEST * 3**i}, i + 1) for i in range(runs)]
    history.append(simulate({**START, RANK: 16}, 9))
    assert was_bracketed(history) == is_so


def test_once_a_bracket_was_found_the_next_is_sought_in_small_steps() -> None:
    history = [simulate({**START, LR: BEST * 3**i}, i + 1) for i in (-1, 0, 1)]
    front = simulate({**START, RANK: 16}, 9)
    found = next_rate(front, front, [*history, front], Room({}))
    assert found is not None and found[0] == pytest.approx(BEST * 10**0.4, rel=0.01)


@pytest.mark.parametrize(("rate", "is_new"), [(1.3e-3, False), (1.35e-3, False), (1.6e-3, True)])
def test_a_whole_run_at_nearly_this_rate_is_not_done_again(rate: float, is_new: bool) -> None:
    """Nearer than half a doubling."""
    front, other = simulate(START), simulate({**START, LR: rate}, 2)
    move = Move(((LR, 1e-3),), "why")
    front = replace(front, values={**START, LR: 5e-3})
    found = find_first_new(iter([move]), front, [front, other], Room({}))
    assert (found is not None) == is_new


@pytest.mark.parametrize(("tried", "is_new"), [(15, False), (16, False), (17, False), (18, True)])
def test_a_way_on_which_a_run_failed_before_is_not_taken(tried: int, is_new: bool) -> None:
    """As far as the move, or a tenth of a doubling further."""
    front, failed = simulate(START), simulate({**START, BATCH: tried}, 2)
    found = find_first_new(iter([Move(((BATCH, 16),), "why")]), front, [front, failed], Room({}))
    assert (found is not None) == is_new


@pytest.mark.parametrize(
    ("losses", "falls"), [([], True), ([2.0], True), ([2.0, 1.0], True), ([1.0, 2.0], False)]
)
def test_one_evaluation_does_not_say_that_the_loss_has_turned(
    losses: list[float], falls: bool
) -> None:
    trial = simulate(START)
    steps = trial.loss_steps[[9, -1]][: len(losses)]
    trial = replace(trial, val_steps=steps, val_losses=np.array(losses))
    assert _falls_to_the_end(trial) == falls


@pytest.mark.parametrize(("gap", "is_hopeless"), [(0.24, False), (0.26, True)])
def test_halfway_a_run_may_be_behind_by_a_quarter_of_what_the_best_had_learnt(
    gap: float, is_hopeless: bool
) -> None:
    """0.4 of it at the start, 0.1 at the end; learnt: from 3 to the level of the half before."""
    losses = np.repeat([2.5, 2.0, 1.5], [25, 25, 50])
    losses[0] = 3.0
    steps = np.arange(100)
    nothing = {"val_steps": np.zeros(0, np.int64), "val_losses": np.zeros(0)}
    base = replace(simulate(START), loss_steps=steps, losses=losses, **nothing)
    partial = replace(base, number=2, loss_steps=steps[:50], losses=losses[:50] + gap)
    partial = replace(partial, losses=np.where(steps[:50] == 0, 3.0, partial.losses))
    assert bool(explain_hopeless(partial, [base], Limits(), None)) == is_hopeless


@pytest.mark.parametrize(("steps", "is_hopeless"), [(14, False), (15, True)])
def test_before_a_seventh_of_a_run_nothing_is_hopeless(steps: int, is_hopeless: bool) -> None:
    base = replace(simulate(START), val_losses=np.zeros(0), val_steps=np.zeros(0, np.int64))
    base = replace(base, loss_steps=np.arange(100), losses=np.linspace(3, 1, 100))
    partial = replace(base, number=2, loss_steps=np.arange(steps), losses=np.full(steps, 9.0))
    assert bool(explain_hopeless(partial, [base], Limits(), None)) == is_hopeless


@pytest.mark.parametrize(("worse", "is_base"), [(0.015, True), (0.025, False)])
def test_a_run_that_can_be_probed_may_be_two_hundredths_worse(worse: float, is_base: bool) -> None:
    """Than one of so few logged steps that no probe of it would tell rates apart."""
    short = simulate(START)
    short = replace(short, loss_steps=np.arange(3), losses=np.array([3.0, 2.5, 2.0]), best_val=1.0)
    other = replace(simulate({**START, BATCH: 4}, 2), best_val=1.0 + worse)
    assert (find_base([short, other], 1e-6) is other) == is_base
