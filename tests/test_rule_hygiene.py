"""What every rule owes its reader: cases on all sides, honest limits, short texts."""

from __future__ import annotations

import re

import pytest

from advisor.rulebook.cases import make_run
from advisor.rulebook.condition import Clause, clauses, parse
from advisor.rulebook.ideas import Idea, load_ideas
from advisor.rulebook.load import load_full
from advisor.rulebook.rule import Rule
from advisor.signals import SIGNALS, View, resolve

RULES = [rule for rule in load_full() if not rule.waits_for]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)


@each_rule
def test_a_case_shows_the_rule_firing(rule: Rule) -> None:
    assert any(case.expect == "fires" for case in rule.cases)


@each_rule
def test_a_silent_case_lies_near_the_limit_or_looks_alike(rule: Rule) -> None:
    silent = [case for case in rule.cases if case.expect == "silent"]
    assert any(case.near or case.trap for case in silent)


def can_be_missing(rule: Rule) -> bool:
    """Whether any signal of the rule has no value on a run without anything in it."""
    view = View(make_run({}))
    names = [name for name in parse(rule.when).names if name not in rule.limits]
    return any(resolve(name, view).value is None for name in names)


@each_rule
def test_a_case_shows_when_the_rule_cannot_be_judged(rule: Rule) -> None:
    if can_be_missing(rule):
        assert any(case.expect == "not_judged" for case in rule.cases)


@each_rule
def test_a_run_without_data_never_fires(rule: Rule) -> None:
    view = View(make_run({}))

    def lookup(name: str) -> float | None:
        return rule.limits.get(name) if name in rule.limits else resolve(name, view).value

    assert parse(rule.when).evaluate(lookup) is not True


@each_rule
def test_every_file_lies_in_a_section_and_is_called_as_its_rule(rule: Rule) -> None:
    assert rule.path == f"{rule.section}/{rule.code}-{rule.name}.yaml"


@each_rule
def test_names_say_the_bad_pattern_and_not_the_cure(rule: Rule) -> None:
    cures = ("increase-", "decrease-", "reduce-", "raise-", "lower-", "use-", "set-", "bad-")
    assert not rule.name.startswith(cures)


@each_rule
def test_no_rule_gives_two_edits_for_one_key_unconditionally(rule: Rule) -> None:
    keys = [edit.key for edit in rule.edits if not edit.when and edit.op != "advice"]
    assert len(keys) == len(set(keys))


def test_every_signal_has_a_unit_and_a_line_of_text() -> None:
    for name, signal in SIGNALS.items():
        assert name.count(".") == 1, name
        assert signal.unit and signal.doc, name


def leaves(parts: tuple[Clause, ...]) -> list[Clause]:
    """The lines of a checklist that are conditions."""
    return [leaf for part in parts for leaf in (leaves(part.parts) if part.parts else [part])]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_a_rule_reads_as_a_checklist(rule: Rule) -> None:
    """What needs more than six clauses has a part that wants a name: an idea."""
    for text in filter(None, (rule.checklist, rule.live_checklist)):
        parts = clauses(text)
        assert max(len(leaf.text) for leaf in leaves(parts)) <= 90
    assert len(clauses(rule.checklist)) <= 6


@pytest.mark.parametrize("idea", load_ideas().values(), ids=lambda idea: idea.name)
def test_an_idea_has_a_name_of_its_own_and_serves_a_rule(idea: Idea) -> None:
    assert idea.name not in SIGNALS
    known = {*SIGNALS, *load_ideas(), *idea.limits}
    assert {*parse(idea.when).names} <= known
    users = [rule.checklist + rule.live_checklist for rule in RULES]
    users += [other.when for other in load_ideas().values()]
    assert any(re.search(rf"(?<![\w.]){re.escape(idea.name)}(?![\w.])", text) for text in users)
    assert len(clauses(idea.when)) <= 6
