"""NaN explains everything after it: what the curve looked like before is not called a fault."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from advisor.diagnosis import diagnose
from advisor.rulebook.cases import run_of
from advisor.rulebook.load import load_full
from advisor.rulebook.rule import Case, Rule, Rulebook
from tests.suppressions import TABLE, combined

RULEBOOK = load_full()
SECTIONS = ("loss", "gradient", "validation")
# Rules that stand beside NaN, since they tell of something before it or of no curve at all.
BESIDE = {
    "nan at the end": {"GR002", "EP006"},
    "nan at the start": {"GR002", "EP006", "EP005", "LR004", "LR007", "LR008"},
    "hidden nan at the end": {"GR002", "GR005", "EP006"},
}


def end_in_nan(case: Case) -> Case:
    return with_loss(case, case.series["train/loss"] + " nanx20")


def start_in_nan(case: Case) -> Case:
    return with_loss(case, f"2 nanx3 {case.series['train/loss']} nanx5")


def end_in_hidden_nan(case: Case) -> Case:
    """A loss of 0 beside a gradient norm that is not finite: a log filter hides NaN so."""
    loss = case.series["train/loss"]
    points = run_of(replace(case, series={"train/loss": loss})).series["train/loss"].values.size
    norms = case.series.get("train/grad_norm", f"1x{points}")
    series = {**case.series, "train/loss": f"{loss} 0x20", "train/grad_norm": f"{norms} nanx20"}
    return replace(case, series=series)


def with_loss(case: Case, loss: str) -> Case:
    return replace(case, series={**case.series, "train/loss": loss})


ENDS: dict[str, Callable[[Case], Case]] = {
    "nan at the end": end_in_nan,
    "nan at the start": start_in_nan,
    "hidden nan at the end": end_in_hidden_nan,
}
FIRING = [
    pytest.param(rule, case, id=f"{rule.code}: {case.name}")
    for rule in RULEBOOK
    if rule.section in SECTIONS
    for case in rule.cases
    if case.expect == "fires" and "train/loss" in case.series
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("rule", "case"), FIRING)
def test_nan_explains_what_the_curve_looked_like(rule: Rule, case: Case, end: str) -> None:
    report = diagnose(run_of(ENDS[end](case)), RULEBOOK)
    codes = {finding.code for finding in report.findings}
    assert any(re.match("NUM0", code) for code in codes)
    assert rule.code not in codes - BESIDE[end]


RULES = {rule.code: rule for rule in RULEBOOK}
LINKS = list(csv.reader(TABLE.read_text(encoding="utf-8").splitlines()))


@pytest.mark.parametrize("row", LINKS, ids=lambda row: f"{row[0]} by {row[1]}")
def test_what_another_rule_explains_is_left_out(row: list[str]) -> None:
    """Both rules hold of the run, and only the one that explains the other is reported."""
    code, other, owner, mine, whose, theirs, way = row
    cases = (case_of(owner, mine), case_of(whose, theirs))
    run = run_of(combined(*cases, way))
    report = diagnose(run, Rulebook((RULES[code], RULES[other])))
    assert [finding.code for finding in report.findings] == [other]
    assert [(finding.code, by) for finding, by in report.suppressed] == [(code, other)]


def case_of(code: str, name: str) -> Case:
    return next(case for case in RULES[code].cases if case.name == name)


def test_most_links_have_a_run_in_which_both_rules_hold() -> None:
    links = {(rule.code, other) for rule in RULEBOOK for other in rule.unless}
    shown = {(row[0], row[1]) for row in LINKS}
    assert shown <= links, "python -m tests.suppressions"
    assert len(shown) > 0.75 * len(links)
