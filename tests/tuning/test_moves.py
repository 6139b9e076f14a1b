"""What each mover proposes, to the value: beside the rate a session turns little else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from advisor.tuning.space import Room
from advisor.tuning.strategy.moves import (
    Move,
    find_first_new,
    last_moves,
    moves_asked_for,
    moves_of_batch,
    moves_to_probe,
    moves_to_repair,
)
from advisor.tuning.trial import BriefFinding, Trial, TrialChange
from tests.tuning.test_strategy import BATCH, EPOCHS, LR, RANK, START, simulate

DECAY, LOCAL, ALPHA = "optimizer.weight_decay", "step_scheduler.local_batch_size", "peft.alpha"


def trial(steps: int = 100, **values: object) -> Trial:
    """A whole run of so many steps."""
    keys = {key.replace("__", "."): value for key, value in values.items()}
    found = simulate({**START, **keys})
    return replace(found, loss_steps=np.arange(steps), losses=np.linspace(3, 2, steps))


def changes(moves: list[Move]) -> list[dict[str, object]]:
    return [dict(move.changes) for move in moves]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (200, [{BATCH: 16}]),
        (199, [{BATCH: 4}]),
        (100, [{BATCH: 4}]),
        (99, [{BATCH: 4, LR: 1e-3}, {BATCH: 4, LR: 4e-4}]),
        (24, [{BATCH: 4, LR: 1e-3}, {BATCH: 4, LR: 4e-4}]),
        (23, [{BATCH: 2, LR: 1e-3}, {BATCH: 2, LR: 4e-4}]),
    ],
)
def test_few_steps_want_smaller_batches_and_many_larger_ones(
    steps: int, expected: list[dict[str, object]]
) -> None:
    base = trial(steps)
    assert changes(list(moves_of_batch(base, base))) == expected


def test_a_noisy_run_takes_more_samples_a_step_and_more_capacity_at_a_lower_rate_first() -> None:
    base = replace(trial(), findings=(BriefFinding("BS001", "noisy", "warning"),))
    assert changes(list(moves_to_probe(base, base))) == [
        {BATCH: 16}, {RANK: 32, LR: 4e-4}, {RANK: 32, LR: 1e-3}
    ]  # fmt: skip


def test_a_rank_that_gained_is_turned_further_at_once() -> None:
    base, front = trial(), trial(peft__dim=16)
    ranks = [move[RANK] for move in changes(list(moves_to_probe(front, base))) if RANK in move]
    assert ranks == [128, 128]


def test_an_adapter_that_overfits_gets_no_more_capacity() -> None:
    base = replace(trial(), findings=(BriefFinding("EP004", "overfit", "error"),))
    assert not any(RANK in move for move in changes(list(moves_to_probe(base, base))))


def test_a_run_that_still_learns_is_made_twice_as_long() -> None:
    base = simulate(START)
    assert {EPOCHS: 6} in changes(list(moves_asked_for(base, [base])))
    capped = simulate({**START, "step_scheduler.max_steps": 60})
    assert {"step_scheduler.max_steps": 120} in changes(list(moves_asked_for(capped, [capped])))


@pytest.mark.parametrize(("best", "expected"), [(0.25, 1), (0.55, 2), (0.75, 2), (0.8, None)])
def test_a_best_checkpoint_that_came_early_ends_the_schedule_there(
    best: float, expected: int | None
) -> None:
    base = simulate(START)
    places = np.linspace(0.05, 1, 20)
    losses = np.abs(places - best) + 1
    steps = (places * len(base.loss_steps)).astype(np.int64) - 1
    overfits = (BriefFinding("EP004", "overfit", "error"),)
    base = replace(base, val_steps=steps, val_losses=losses, findings=overfits)
    found = [
        move[EPOCHS] for move in changes(list(moves_asked_for(base, [base]))) if EPOCHS in move
    ]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(("decay", "further"), [(0.0125, []), (0.014, [0.0196]), (0.02, [0.04])])
def test_the_way_that_brought_the_base_is_gone_on(decay: float, further: list[float]) -> None:
    """By the same factor, where that was more than a third."""
    start, base = simulate(START), replace(simulate({**START, DECAY: decay}), number=2)
    found = [m[DECAY] for m in changes(list(moves_asked_for(base, [start, base]))) if DECAY in m]
    assert found == pytest.approx(further)


def test_last_a_run_tries_its_neighbours() -> None:
    found = changes(list(last_moves(trial())))
    assert found == [{LR: 4e-4}, {LR: 2.5e-3}, {EPOCHS: 6}]


@pytest.mark.parametrize(
    ("dropout", "edge"), [(0.3, 0.1), (0.11, None), (0.149, None), (0.16, 0.1), (0.03, 0.05)]
)
def test_what_lies_well_outside_its_range_goes_to_the_edge(
    dropout: float, edge: float | None
) -> None:
    """The range for an adapter of few samples is 0.05 to 0.1."""
    found = changes(list(last_moves(trial(peft__dropout=dropout))))
    moved = [move["peft.dropout"] for move in found if "peft.dropout" in move]
    assert moved == ([] if edge is None else [edge])


def test_a_run_out_of_memory_takes_half_the_samples_at_a_time() -> None:
    broken = replace(trial(), status="oom")
    assert changes(list(moves_to_repair(broken))) == [{LOCAL: 4}]
    assert changes(list(moves_to_repair(trial()))) == []


def test_the_plan_is_taken_a_group_at_a_time_in_the_guides_order() -> None:
    edits = tuple(
        TrialChange(key, "set", START[key], new, ("AA001",))
        for key, new in ((DECAY, 0.05), (EPOCHS, 2), (LR, 1e-4))
    )
    base = replace(trial(), edits=edits)
    first, second = list(moves_asked_for(base, [base]))[:2]
    assert (dict(first.changes), dict(second.changes)) == ({EPOCHS: 2}, {DECAY: 0.05})
    assert first.because == ("AA001",)


@pytest.mark.parametrize(("rate", "new"), [(1e-3, False), (3.1e-3, False), (3.4e-3, True)])
def test_a_move_whose_like_failed_at_a_near_rate_is_not_made_again(rate: float, new: bool) -> None:
    """Rates within 1.2 doublings are near; twice the batch brings the rate to 1.4e-3."""
    front = trial()
    failed = replace(trial(step_scheduler__global_batch_size=16), number=2)
    failed = replace(failed, values={**failed.values, LR: rate})
    found = find_first_new(iter([Move(((BATCH, 16),), "why")]), front, [front, failed], Room({}))
    assert (found is not None) == new


def test_a_move_that_a_bound_holds_back_is_none() -> None:
    front = trial()
    room = Room({BATCH: (1.0, 8.0)})
    assert find_first_new(iter([Move(((BATCH, 16),), "why")]), front, [front], room) is None
