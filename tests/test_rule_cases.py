"""Every case written inside a rule file is one test."""

from __future__ import annotations

import pytest

from advisor.cli.rule_cases import flips, run_case
from advisor.rulebook.condition import parse
from advisor.rulebook.load import load_full
from advisor.rulebook.rule import Case, Rule

RULEBOOK = load_full()
CASES = [
    pytest.param(rule, case, id=f"{rule.code}: {case.name}")
    for rule in RULEBOOK
    for case in rule.cases
]


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_the_rule_answers_as_its_case_says(rule: Rule, case: Case) -> None:
    result = run_case(rule, case, RULEBOOK)
    assert result.passed, f"{result.answer}, expected {case.expect} {result.why}"


HELD = [rule for rule in RULEBOOK if rule.when and rule.code[:2] not in ("LR", "PL")]
NEAR = [
    pytest.param(rule, case, limit, id=f"{rule.code} {limit}: {case.name}")
    for rule in RULEBOOK
    for case in rule.cases
    for limit in case.near
    if limit
]


@pytest.mark.parametrize(("rule", "case", "limit"), NEAR)
def test_a_limit_that_is_moved_by_half_flips_the_case_near_it(
    rule: Rule, case: Case, limit: str
) -> None:
    assert flips(rule, case, limit)


@pytest.mark.parametrize("rule", HELD, ids=lambda rule: rule.code)
def test_every_limit_of_a_condition_is_held_by_a_case_or_says_why_not(rule: Rule) -> None:
    """Those of LR and PL are to be learnt from runs; of the others few may go without."""
    asked = {*parse(rule.when).names} & rule.limits.keys()
    held = {limit for case in rule.cases for limit in case.near}
    assert asked - held == rule.unheld.keys()


def test_few_limits_go_without_a_case() -> None:
    asked = sum(len({*parse(rule.when).names} & rule.limits.keys()) for rule in HELD)
    assert sum(len(rule.unheld) for rule in HELD) <= 0.1 * asked
