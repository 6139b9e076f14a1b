"""Causes are ranked by what is known of the run."""

from __future__ import annotations

from advisor.rulebook.causes import CAUSES
from advisor.rulebook.load import load_full
from advisor.rulebook.ranking import rank_causes
from advisor.rulebook.rule import Cause

CHOICE = (Cause("a", 0.4), Cause("b", 0.6, "x > 0"))


def ranked(causes: tuple[Cause, ...], **known: float) -> dict[str, float]:
    return dict(rank_causes(causes, known.get))


def test_a_cause_whose_condition_holds_counts_in_full() -> None:
    assert ranked(CHOICE, x=1) == {"b": 0.6, "a": 0.4}


def test_a_cause_whose_condition_fails_is_left_out() -> None:
    assert ranked(CHOICE, x=0) == {"a": 1.0}


def test_an_unknown_condition_neither_shows_a_cause_nor_rules_it_out() -> None:
    assert ranked(CHOICE) == {"a": 0.727, "b": 0.273}


def test_entries_of_one_cause_add_up() -> None:
    causes = (Cause("a", 0.3), Cause("b", 0.2), Cause("b", 0.2, "x > 0"))
    assert list(ranked(causes, x=1)) == ["b", "a"]


def test_a_rule_whose_conditions_all_fail_names_no_cause() -> None:
    assert ranked((Cause("a", 0.3, "x > 0"),), x=0) == {}


def test_every_cause_of_a_rule_is_in_the_list_and_all_of_the_list_are_used() -> None:
    used = {cause.name for rule in load_full() for cause in rule.causes}
    assert used == set(CAUSES)
