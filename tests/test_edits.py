"""Edits: what they resolve to, within which bounds, and how those of several findings merge."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.findings import Edit, Severity
from advisor.plan.edits import Proposal, merge, resolve


def proposal(edit: Edit, severity: Severity = "warning", confidence: float = 0.5) -> Proposal:
    return Proposal(edit, severity, confidence)


def times(by: float, key: str = "optimizer.lr", code: str = "A1", **more: float) -> Edit:
    return Edit(key, "multiply", by, because=(code,), **more)  # type: ignore[arg-type]


def put(to: object, key: str = "optimizer.lr", code: str = "S1") -> Edit:
    return Edit(key, "set", to, because=(code,))  # type: ignore[arg-type]


def merged(old: object, *proposals: Proposal) -> tuple[list[Edit], list[Edit]]:
    kept, dropped = merge(proposals, lambda edit: resolve(edit, old))  # type: ignore[arg-type]
    return [p.edit for p in kept], dropped


def test_a_product_is_rounded_to_two_digits() -> None:
    assert resolve(times(0.3), 2e-4).new == 6e-5
    assert resolve(times(1 / 3), 1e-4).new == 3.3e-5


def test_a_count_stays_whole_and_at_least_one() -> None:
    halved = resolve(times(0.5, "step_scheduler.num_epochs"), 1)
    assert halved.new == 1
    assert resolve(times(0.5, "step_scheduler.num_epochs"), 3).new == 2
    assert resolve(times(1.1, "peft.dim"), 4).new == 5
    assert isinstance(resolve(times(2, "peft.dim"), 8).new, int)


def test_a_bound_that_bites_is_said() -> None:
    edit = resolve(times(0.1, low=5e-6), 1e-5)
    assert edit.new == 5e-6
    assert "held at 5e-06" in edit.note


def test_a_value_outside_the_bounds_comes_back_to_the_nearest_one() -> None:
    edit = resolve(times(0.5, high=1e-4), 1e-3)
    assert edit.new == 1e-4
    assert "held at 0.0001" in edit.note


def test_a_value_far_outside_the_bounds_comes_back_by_a_tenth_at_most() -> None:
    edit = resolve(times(0.5, high=1e-4), 1.0)
    assert edit.new == 0.1
    assert "still above the range" in edit.note


@given(
    by=st.sampled_from([0.1, 0.3, 0.4, 0.5, 1.5, 2.0, 2.5, 3.0, 5.0]),
    key=st.sampled_from(["optimizer.lr", "step_scheduler.global_batch_size", "peft.dim"]),
    old=st.tuples(*[st.floats(1e-9, 1e9)] * 2).map(sorted),
    bounds=st.tuples(*[st.floats(1e-9, 1e9)] * 2).map(sorted),
)
def test_what_was_higher_ends_no_lower_and_nothing_is_raised_more_than_tenfold(
    by: float, key: str, old: list[float], bounds: list[float]
) -> None:
    starts = old if key == "optimizer.lr" else [float(max(1, round(one))) for one in old]
    low, high = bounds if key == "optimizer.lr" else [max(1.0, one) for one in bounds]
    edits = [resolve(times(by, key, low=low, high=high), one) for one in starts]
    new = [float(edit.new) for edit in edits]  # type: ignore[arg-type]
    assert new[0] <= new[1] * (1 + 1e-12)
    for start, end in zip(starts, new, strict=True):
        assert end <= start * 10 * (1 + 1e-9)
        assert end <= start * (1 + 1e-12) if by < 1 else end >= start / (1 + 1e-12)


def test_a_value_outside_the_bounds_goes_no_further() -> None:
    edit = resolve(times(5, high=1e-4), 1e-3)
    assert edit.new == 1e-3
    assert "held at 0.001" in edit.note


def test_a_wish_that_a_bound_holds_back_still_opposes_another() -> None:
    kept, dropped = merged(
        2e-4,
        proposal(times(5, code="A1", high=2e-4), "warning", 0.5),
        proposal(times(0.5, code="B1"), "warning", 0.5),
    )
    assert kept == []
    assert all("conflict: " in edit.note for edit in dropped)


@pytest.mark.parametrize(
    ("old", "by", "new"), [(10, 0.33, 3), (10, 0.36, 4), (10, 1.02, 11), (10, 0.98, 9), (1, 0.1, 1)]
)
def test_a_count_goes_to_the_nearest_whole_number_and_moves_by_one_at_least(
    old: int, by: float, new: int
) -> None:
    assert resolve(times(by, key="peft.dim"), old).new == new


def test_a_relative_edit_on_nothing_stays_relative() -> None:
    edit = resolve(times(0.3), None)
    assert not edit.resolved
    assert edit.new is None


def test_items_join_and_leave_lists() -> None:
    append = Edit("peft.target_modules", "append", "k_proj")
    assert resolve(append, ["q_proj"]).new == ["q_proj", "k_proj"]
    assert resolve(append, ["k_proj"]).new == ["k_proj"]
    assert resolve(Edit("peft.target_modules", "remove", "q"), ["q", "v"]).new == ["v"]


def test_two_multiplies_never_compound_and_the_more_severe_wins() -> None:
    kept, dropped = merged(
        2e-4,
        proposal(times(0.5, code="W1"), "warning", 0.9),
        proposal(times(0.1, code="E1"), "error", 0.5),
    )
    assert [edit.new for edit in kept] == [2e-5]
    assert "superseded by E1" in dropped[0].note


def test_opposite_directions_change_nothing_and_both_are_reported() -> None:
    kept, dropped = merged(
        2e-4, proposal(times(0.5, code="A1"), "error"), proposal(times(2, code="B1"))
    )
    assert kept == []
    assert len(dropped) == 2
    assert all("conflict" in edit.note and "B1" in edit.note for edit in dropped)


def test_a_set_that_points_the_other_way_is_a_conflict_too() -> None:
    kept, dropped = merged(0.0, proposal(put(0.1)), proposal(Edit("optimizer.lr", "add", -0.1)))
    assert (kept, len(dropped)) == ([], 2)


def test_a_set_wins_over_a_multiply_of_equal_weight() -> None:
    kept, _ = merged(2e-4, proposal(times(0.5)), proposal(put(1e-5)))
    assert [edit.new for edit in kept] == [1e-5]


def test_equal_edits_become_one_for_both_reasons() -> None:
    kept, dropped = merged(
        2e-4, proposal(times(0.5, code="A1")), proposal(times(0.5, code="B1", low=1e-5))
    )
    assert len(kept) == 1 and not dropped
    assert kept[0].because == ("A1", "B1")
    assert kept[0].low == 1e-5


def test_what_is_so_already_is_no_edit_and_no_conflict() -> None:
    kept, dropped = merged(1.0, proposal(put(1.0), "error"), proposal(times(0.5)))
    assert [edit.new for edit in kept] == [0.5]
    assert "already" in dropped[0].note


def test_advice_stands_beside_an_edit_of_the_same_key() -> None:
    advice = Edit("optimizer.lr", "set", None, "advice", note="look at it")
    kept, dropped = merged(2e-4, proposal(times(0.5)), proposal(advice))
    assert len(kept) == 2 and not dropped


def test_different_items_of_one_list_are_no_rivals() -> None:
    a = Edit("peft.target_modules", "append", "a")
    kept, dropped = merged(["x"], proposal(a), proposal(replace(a, operand="b")))
    assert len(kept) == 2 and not dropped


factors = st.floats(0.01, 100)
severities: st.SearchStrategy[Severity] = st.sampled_from(("info", "warning", "error"))
rates = st.floats(1e-7, 1e-1)


@given(rates, st.lists(st.tuples(factors, severities), min_size=1, max_size=5))
def test_however_many_findings_one_factor_at_most_is_applied(
    old: float, wishes: list[tuple[float, Severity]]
) -> None:
    proposals = [proposal(times(by, code=f"C{i}"), s) for i, (by, s) in enumerate(wishes)]
    kept, dropped = merged(old, *proposals)
    assert len(kept) <= 1
    alone = [resolve(times(by), old).new for by, _ in wishes]
    assert all(edit.new in alone for edit in kept)
    assert len(kept) + len(dropped) == len({by for by, _ in wishes})


@given(rates, factors, rates, rates)
def test_a_result_lies_within_the_bounds_or_no_further_out(
    old: float, by: float, one: float, other: float
) -> None:
    low, high = min(one, other), max(one, other)
    new = resolve(times(by, low=low, high=high), old).new
    assert isinstance(new, float)
    slack = 1 + 1e-12  # values that are written hold fifteen digits
    assert min(low, old) / slack <= new <= max(high, old) * slack


@given(st.integers(1, 10**6), factors)
def test_counts_never_vanish(old: int, by: float) -> None:
    new = resolve(times(by, "lr_scheduler.lr_warmup_steps"), old).new
    assert isinstance(new, int) and new >= 1
    if by < 1:
        assert new <= old
