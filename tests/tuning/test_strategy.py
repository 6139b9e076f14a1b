"""The strategy on a simulated trainer whose best settings are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.tuning.choice import noise_of
from advisor.tuning.space import Room, with_change
from advisor.tuning.strategy import next_run as strategy
from advisor.tuning.strategy.curves import is_broken, measure_lead, probe_samples
from advisor.tuning.strategy.moves import moves_of_batch
from advisor.tuning.trial import BriefFinding, Limits, Stop, Trial, TrialChange, TrialProposal

LR, BATCH = "optimizer.lr", "step_scheduler.global_batch_size"
EPOCHS, RANK = "step_scheduler.num_epochs", "peft.dim"
START: dict[str, object] = {
    LR: 1e-3, BATCH: 8, EPOCHS: 3, RANK: 8, "peft.alpha": 16, "method": "lora",
    "step_scheduler.local_batch_size": 8, "optimizer.weight_decay": 0.01, "peft.dropout": 0.05,
    "data.samples": 640,
}  # fmt: skip
ROWS, BEST, WALL = 640, 1e-3, 10.0


def simulate(values: Mapping[str, object], number: int = 1, steps: int | None = None) -> Trial:
    """Return a run: its loss falls fastest at BEST, and grows beyond WALL times that."""
    rate, batch, epochs = (float(values[key]) for key in (LR, BATCH, EPOCHS))  # type: ignore[arg-type]
    total = max(1, math.ceil(ROWS / batch)) * int(epochs)
    end = min(total, steps or total)
    away = abs(math.log10(rate / BEST))
    pace = 4.0 / (ROWS * 3 / 8) * 10 ** (-1.2 * away)
    noise = np.random.default_rng(5)
    losses, loss = [], 5.0
    for step in range(end):
        loss = loss * 1.2 if rate > WALL * BEST and step > 3 else 1.5 + (loss - 1.5) * (1 - pace)
        losses.append(min(loss, 1e4) + 0.05 * noise.standard_normal())
    evals = [s for s in range(end) if (s + 1) % max(1, total // 8) == 0]
    smooth = np.array(losses)
    held = np.array([float(np.mean(smooth[max(0, s - 3) : s + 1])) for s in evals])
    said = (BriefFinding("LR009", "divergence", "error"),) if losses[-1] > 50 else ()
    return Trial(
        number, dict(values), "probe" if steps else "full", "finished",
        np.array(evals, np.int64), held, np.arange(end), smooth,
        float(held.min()) if held.size else None, 0.01, int(end * batch), said,
    )  # fmt: skip


def session(start: Mapping[str, object], limits: Limits | None = None) -> list[Trial]:
    """Run what is proposed until it stops."""
    limits, history = limits or Limits(), [simulate(start)]
    while len(history) < 60:
        found = strategy.propose(history, start, limits, 0.01)
        if isinstance(found, Stop):
            return history
        history.append(simulate(found.values, len(history) + 1, found.max_steps))
    raise AssertionError("it goes on for ever")


def rate(trial: Trial | TrialProposal) -> float:
    return float(trial.values[LR])  # type: ignore[arg-type]


def whole(history: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in history if trial.kind == "full"]


def test_without_history_the_start_is_run_as_it_is() -> None:
    found = strategy.propose([], START, Limits(), None)
    assert isinstance(found, TrialProposal) and found.values == START and found.kind == "full"


def test_the_same_history_gives_the_same_proposal() -> None:
    history = [simulate(START)]
    assert strategy.propose(history, START, Limits(), 0.01) == strategy.propose(
        history, START, Limits(), 0.01
    )


@pytest.mark.parametrize("wrong", [0.01, 0.03, 0.1, 10.0, 30.0, 100.0])
def test_a_wrong_rate_is_found_by_probes_before_the_second_whole_run(wrong: float) -> None:
    history = session({**START, LR: wrong * BEST})
    second = whole(history)[1]
    assert abs(math.log10(rate(second) / BEST)) < 0.35


def test_a_rate_that_broke_bounds_all_later_ones() -> None:
    broken = replace(simulate({**START, LR: 5e-3}), status="nonfinite", best_val=None)
    history = [broken]
    for _ in range(6):
        found = strategy.propose(history, broken.values, Limits(), 0.01)
        assert isinstance(found, TrialProposal)
        assert rate(found) < 5e-3
        history.append(simulate(found.values, len(history) + 1, found.max_steps))


def test_a_rate_so_high_that_all_is_forgotten_is_left_behind() -> None:
    first = simulate({**START, LR: 0.6})
    flat = np.full_like(first.losses, 6.5)  # it says the same of everything, and stays there
    first = replace(first, losses=flat, val_losses=np.full_like(first.val_losses, 6.5),
                    best_val=6.5, findings=())  # fmt: skip
    worse = simulate({**START, LR: 0.06}, 2, 60)
    found = strategy.propose([first, worse], first.values, Limits(), 0.01)
    assert isinstance(found, TrialProposal) and rate(found) < 0.02


def test_no_run_is_proposed_twice() -> None:
    history = session({**START, LR: 1e-5})
    keys = [(t.kind, tuple(sorted((k, str(v)) for k, v in t.values.items()))) for t in history]
    assert len(set(keys)) == len(keys)


def test_a_probe_costs_a_quarter_of_a_run() -> None:
    first = simulate(START)
    found = strategy.propose([first], START, Limits(), 0.01)
    assert isinstance(found, TrialProposal) and found.kind == "probe"
    assert found.max_steps == pytest.approx(0.25 * first.loss_steps.size, abs=1)


def test_values_stay_within_the_users_bounds() -> None:
    limits = Limits(ranges={LR: (1e-5, 2e-4), BATCH: (8, 8), EPOCHS: (3, 3), RANK: (8, 8)})
    history = session({**START, LR: 1e-4}, limits)
    assert max(rate(trial) for trial in history) <= 2e-4
    assert {trial.values[BATCH] for trial in history} == {8}
    assert {trial.values[EPOCHS] for trial in history} == {3}


def test_a_diagnosis_of_too_high_a_rate_is_followed_down() -> None:
    first = simulate({**START, LR: 5e-3})
    first = replace(first, edits=(TrialChange(LR, "multiply", 5e-3, 2e-3, ("LR004",)),))
    found = strategy.propose([first], first.values, Limits(), 0.01)
    assert isinstance(found, TrialProposal) and rate(found) < 5e-3 and found.because == ("LR004",)


def test_an_overfitting_run_is_shortened_as_its_plan_says() -> None:
    limits = Limits(ranges={key: (float(START[key]),) * 2 for key in (BATCH, RANK)})  # type: ignore[arg-type]
    history = session(START, limits)
    edit = TrialChange(EPOCHS, "set", 3, 2, ("EP004",))
    ended = [replace(t, edits=(edit,), findings=(BriefFinding("EP004", "overfit", "error"),))
             if t.kind == "full" and t.values[EPOCHS] == 3 else t for t in history]  # fmt: skip
    known = [t for t in ended if t.values[EPOCHS] == 3]
    found = strategy.propose(known, START, limits, 0.01)
    assert isinstance(found, TrialProposal) and found.values[EPOCHS] == 2
    assert found.because == ("EP004",)


def test_a_run_that_diverges_is_hopeless_and_one_that_leads_is_not() -> None:
    history = [simulate({**START, LR: 2e-4})]
    broken = simulate({**START, LR: 5e-2}, 2, 80)
    leads = simulate({**START, LR: 1e-3}, 2, 80)
    for trial in (broken, leads):
        assert probe_samples(history[0]) is not None
        partial = replace(trial, kind="full", findings=())
        said = strategy.explain_hopeless(partial, history, Limits(), 0.01)
        assert bool(said) is (trial is broken)


def test_a_longer_schedule_is_never_called_hopeless() -> None:
    history = [simulate(START)]
    partial = replace(simulate({**START, EPOCHS: 6, LR: 1e-5}, 2, 80), kind="full")
    assert strategy.explain_hopeless(partial, history, Limits(), 0.01) == ""


def test_several_at_once_are_a_ladder_of_rates() -> None:
    found = strategy.propose_many([simulate(START)], START, Limits(), 0.01, 4)
    assert not isinstance(found, Stop)
    assert len({rate(proposal) for proposal in found}) == 4
    assert {proposal.kind for proposal in found} == {"probe"}


def test_leads_of_one_seed_hold_less_noise_than_the_losses() -> None:
    one, other = simulate({**START, LR: 5e-4}), simulate(START)
    ahead = measure_lead(one, other)
    assert ahead is not None and ahead.value > 0 and ahead.error < 0.05


def test_runs_of_other_batches_are_compared_over_the_same_samples() -> None:
    small, large = simulate({**START, BATCH: 4}), simulate({**START, BATCH: 16})
    ahead = measure_lead(small, large, 640)
    assert ahead is not None and ahead.is_better()


def test_what_is_coupled_comes_along() -> None:
    room = Room({})
    more = with_change(START, RANK, 32, room)
    assert more["peft.alpha"] == 64
    most = with_change(START, RANK, 4096, room)
    assert (most[RANK], most["peft.alpha"]) == (256, 512)
    less = with_change(START, BATCH, 6, room)
    assert 6 % int(str(less["step_scheduler.local_batch_size"])) == 0
    assert float(str(less[LR])) == pytest.approx(1e-3 * math.sqrt(6 / 8), rel=0.05)


@pytest.mark.parametrize("rank", [64, 200, 512])
def test_capacity_does_not_grow_beyond_what_an_adapter_is_for(rank: int) -> None:
    history = session({**START, RANK: rank})
    assert max(int(str(trial.values[RANK])) for trial in history) <= max(256, rank)


def test_a_start_without_the_usual_keys_gets_a_strategy_too() -> None:
    start: dict[str, object] = {LR: 1e-5}
    first = simulate({**START, LR: 1e-5})
    found = strategy.propose([replace(first, values=start)], start, Limits(), 0.01)
    assert isinstance(found, TrialProposal) and rate(found) > 1e-5


def test_a_run_without_a_log_ends_in_words() -> None:
    crashed = Trial(1, START, "full", "crashed")
    assert isinstance(strategy.propose([crashed], START, Limits(), None), (TrialProposal, Stop))


def test_a_start_out_of_memory_takes_fewer_samples_at_a_time() -> None:
    broken = Trial(1, START, "full", "oom")
    found = strategy.propose([broken], START, Limits(), None)
    assert isinstance(found, TrialProposal)
    assert found.values["step_scheduler.local_batch_size"] == 4
    assert found.values[BATCH] == 8


def test_a_larger_batch_that_ran_out_of_memory_is_not_tried_again() -> None:
    noisy = replace(simulate(START), findings=(BriefFinding("BS001", "noisy", "warning"),))
    history = [noisy]
    while not isinstance(found := strategy.propose(history, START, Limits(), 0.01), Stop):
        trial = simulate(found.values, len(history) + 1, found.max_steps)
        large = int(str(trial.values[BATCH])) > 8
        history.append(replace(trial, status="oom" if large else "finished"))
        assert len(history) < 40
    assert sum(int(str(t.values[BATCH])) > 8 for t in history) <= 2


@settings(max_examples=15, deadline=None)
@given(
    st.floats(-6, 0), st.sampled_from([1, 2, 8, 32, 160, 640]), st.integers(1, 8),
    st.sampled_from([1, 8, 64]),
)  # fmt: skip
def test_from_any_start_it_ends_and_never_ends_worse(
    power: float, batch: int, epochs: int, rank: int
) -> None:
    start = {**START, LR: 10**power, BATCH: batch, EPOCHS: epochs, RANK: rank,
             "step_scheduler.local_batch_size": min(8, batch)}  # fmt: skip
    history = session(start)
    lows = [t.best_val for t in whole(history) if t.best_val is not None]
    assert min(lows) <= (history[0].best_val or math.inf)


def test_validation_losses_say_which_run_leads_where_both_have_them() -> None:
    base, other = simulate(START), simulate(START, 2, 60)
    better = replace(other, losses=other.losses + 1, val_losses=other.val_losses - 1)
    found = measure_lead(better, base, probe_samples(base), 0.01)
    assert found is not None and found.is_better() and found.value < -0.5


def test_a_run_is_compared_at_its_own_last_evaluation_between_those_of_the_other() -> None:
    base = simulate(START)
    late = replace(simulate(START, 2, 60), val_steps=np.array([50]), val_losses=np.array([2.0]))
    sparse = replace(base, val_steps=np.array([40, 60]), val_losses=np.array([3.0, 1.0]))
    found = measure_lead(late, sparse, probe_samples(base), 0.01)
    assert found is not None and found.value == pytest.approx(0.0, abs=1e-6)


def test_a_probe_close_behind_the_base_becomes_a_whole_run() -> None:
    fixed = Limits(ranges={EPOCHS: (3, 3)})
    history = session(START, fixed)
    base = whole(history)[0]
    close = simulate({**START, RANK: 64}, len(history) + 1, 60)
    ran = [t for t in history if t.kind == "probe"] + [close]
    found = strategy.propose([base, *ran], START, fixed, 0.01)
    assert isinstance(found, TrialProposal) and found.kind == "full"
    assert any(found.values == probe.values for probe in ran)


def test_a_smaller_batch_that_did_not_help_is_tried_at_a_lower_rate_too() -> None:
    start = {**START, EPOCHS: 1, "data.samples": 160}
    base = replace(simulate(start), loss_steps=np.arange(20), losses=np.linspace(5, 4, 20))
    moves = [dict(move.changes) for move in moves_of_batch(base, base)]
    assert [move[LR] for move in moves] == [1e-3, pytest.approx(4e-4)]
    assert all(move[BATCH] == 2 for move in moves)


def test_the_noise_of_an_evaluation_is_the_lowest_that_a_curve_shows() -> None:
    calm, rough = replace(simulate(START), noise=0.01), replace(simulate(START, 2), noise=0.3)
    assert noise_of([rough, calm, replace(rough, noise=None)]) == 0.01
    assert noise_of([replace(calm, noise=None)]) is None


def test_a_run_that_is_said_to_diverge_while_its_validation_falls_did_not_break() -> None:
    said = (BriefFinding("LR007", "divergence", "error"),)
    falls = replace(simulate(START), findings=said)
    assert not is_broken(falls)
    assert is_broken(replace(falls, val_losses=falls.val_losses[::-1].copy()))
    assert is_broken(replace(falls, losses=np.linspace(5, 50, falls.losses.size)))
