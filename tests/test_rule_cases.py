"""Every case written inside a rule file is one test."""

from __future__ import annotations

import pytest

from advisor.cli.rule_cases import run_case
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
