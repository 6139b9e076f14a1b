"""What is left to spend: probes leave enough for the whole run that takes what they found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.tuning.budget import Budget, budget_of, estimate_cost, estimate_time, explain_spent
from advisor.tuning.driver import Length
from advisor.tuning.ledger import Entry, TrialPlan
from advisor.tuning.strategy import next_run as strategy
from advisor.tuning.trial import Kind, Limits, Stop, Trial, TrialProposal
from tests.tuning.test_strategy import LR, START, rate, simulate

VALUES = {"step_scheduler.global_batch_size": 8, "step_scheduler.num_epochs": 2}
LENGTH = Length(80, 320.0)  # 80 steps of 8


def entry(number: int, kind: Kind, tokens: int, seconds: float) -> Entry:
    plan = TrialPlan(number, kind, VALUES, (), "", "", "")
    trial = Trial(number, VALUES, kind, "finished", tokens=tokens,
                  loss_steps=np.arange(1, 81), losses=np.ones(80))  # fmt: skip
    return Entry(plan, "done", trial, seconds)


def whole(**values: object) -> TrialProposal:
    return TrialProposal({**VALUES, **values})


def probe(steps: int, **values: object) -> TrialProposal:
    return TrialProposal({**VALUES, **values}, "probe", steps)


RUNS = [entry(1, "full", 1000, 100.0), entry(2, "probe", 250, 25.0)]


def fits(proposal: TrialProposal, **limits: float) -> bool:
    start = RUNS[0].trial
    assert start is not None
    given = Limits(**limits)  # type: ignore[arg-type]
    return budget_of(RUNS, start, given, LENGTH).fits(proposal)


@pytest.mark.parametrize(
    ("proposal", "tokens", "answer"),
    [
        (whole(), 2250, True),
        (whole(), 2000, False),
        (probe(20), 2500, True),
        (probe(20), 2300, False),
        (whole(**{"step_scheduler.num_epochs": 4}), 2500, False),
        (whole(**{"step_scheduler.global_batch_size": 4}), 2250, True),  # as many samples
    ],
)
def test_a_run_is_begun_where_tokens_are_left_for_it(
    proposal: TrialProposal, tokens: int, answer: bool
) -> None:
    assert fits(proposal, tokens=tokens) is answer


def test_hours_bound_as_tokens_do_and_the_tighter_one_counts() -> None:
    assert fits(whole(), hours=225 / 3600)
    assert not fits(whole(), hours=180 / 3600)
    assert not fits(whole(), hours=1.0, tokens=1500)


def test_nothing_bounds_where_no_limit_is_given() -> None:
    assert fits(whole()) and fits(probe(20))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(runs=1), "the 1 run of --runs is done"),
        (Limits(runs=2), ""),
        (Limits(tokens=1250), "the 1,250 tokens of --tokens are spent"),
        (Limits(hours=125.5 / 3600), "of --hours are spent"),
        (Limits(hours=1.0), ""),
    ],
)
def test_a_budget_that_is_used_up_says_which(limits: Limits, said: str) -> None:
    found = explain_spent(RUNS, limits)
    assert said in found and bool(said) == bool(found)


def test_where_probes_are_too_dear_the_best_of_them_is_run_whole() -> None:
    low, higher = {**START, LR: 1e-5}, {**START, LR: 1e-3}
    history = [simulate(low), simulate(higher, 2, 120)]
    assert _kind(strategy.propose(history, low, Limits(), 0.01)) == "probe"
    found = strategy.propose(history, low, Limits(probes=False), 0.01)
    assert _kind(found) == "full" and isinstance(found, TrialProposal) and rate(found) == higher[LR]


def _kind(found: TrialProposal | Stop) -> str:
    return found.kind if isinstance(found, TrialProposal) else "stop"


def at(runs: int, *entries: Entry) -> Budget:
    start = RUNS[0].trial
    assert start is not None
    return budget_of(entries, start, Limits(runs=runs), LENGTH)


TWICE = {**VALUES, "step_scheduler.num_epochs": 4}


def test_runs_bound_whole_runs_and_half_as_much_of_probes() -> None:
    left = at(3, RUNS[0])
    assert (left.runs, left.probes) == (2.0, 1.5)
    assert left.fits(whole()) and left.fits(probe(20))
    assert left.short_of(probe(130)) == "runs"  # a probe of more than a run and a half
    assert left.fits(probe(20), [probe(40)]) and not left.fits(probe(60), [probe(80)])


def test_a_run_twice_as_long_counts_as_two() -> None:
    left = at(3, RUNS[0])
    assert left.fits(whole(**TWICE))
    assert not left.fits(whole(**TWICE), [whole()])
    longer = replace(RUNS[0], plan=replace(RUNS[0].plan, number=2, values=TWICE))
    assert at(3, RUNS[0], longer).runs == 0.0


def test_what_a_probe_took_is_what_it_got_to() -> None:
    """One that is ended from outside ends late, one that broke took less than planned."""
    steps = np.arange(1, 41)
    trial = replace(RUNS[1].trial, loss_steps=steps, losses=np.ones(40))  # type: ignore[type-var]
    late = replace(RUNS[1], plan=replace(RUNS[1].plan, max_steps=20), trial=trial)
    assert at(3, RUNS[0], late).probes == 1.0
    broken = replace(late, plan=replace(late.plan, max_steps=80),
                     trial=replace(trial, status="nonfinite"))  # fmt: skip
    assert at(3, RUNS[0], broken).probes == 1.0


def test_the_estimate_counts_the_probes_in() -> None:
    said = estimate_cost(Limits(runs=3, hours=2.0), 80)
    assert "at most 3 whole runs" in said and "probes (runs cut off early) worth 1.5 more" in said
    assert "4.5 times what one run takes, 360 steps" in said and "no more than 2 hours" in said
    assert "27 min at most" in estimate_time(Limits(runs=3), 360)
    assert "60 min" not in estimate_time(Limits(runs=3), 0.0)
