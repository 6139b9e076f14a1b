"""Checks that a rule answers its cases as expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advisor.diagnosis import judge, make_finding
from advisor.findings import Edit, Finding
from advisor.rulebook.cases import run_of
from advisor.rulebook.rule import Case, Expect, Rule, Rulebook
from advisor.run import Scalar
from advisor.signals import View


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The answer of a rule to one of its cases."""

    rule: Rule
    case: Case
    answer: Expect
    why: str = ""

    wrong: str = ""  # what differs from the case although the answer matches

    @property
    def passed(self) -> bool:
        return self.answer == self.case.expect and not self.wrong


def run_cases(rule: Rule, rulebook: Rulebook | None = None) -> list[CaseResult]:
    """Run all cases of a rule; with a rulebook, rules that its `unless` names can suppress it."""
    return [run_case(rule, case, rulebook) for case in rule.cases]


def run_case(rule: Rule, case: Case, rulebook: Rulebook | None = None) -> CaseResult:
    view = View(run_of(case))
    judgement = judge(rule, view)
    wrong = _wrong_live(rule, case, view, rulebook)
    if judgement.value is None:
        return CaseResult(rule, case, "not_judged", judgement.why, wrong)
    if not judgement.value:
        wrong = "it does not hold by itself" if case.explained_by and rulebook else wrong
        return CaseResult(rule, case, "silent", wrong, wrong)
    explained = [o for o in rulebook or () if o.code in rule.unless and judge(o, view).value]
    if explained:
        return CaseResult(rule, case, "silent", *_explanations(case, explained))
    if case.explained_by and rulebook is None:  # no other rule is loaded
        return CaseResult(rule, case, "silent")
    wrong = wrong or _wrong(case, make_finding(judgement, view))
    return CaseResult(rule, case, "fires", wrong, wrong)


def _explanations(case: Case, explained: Sequence[Rule]) -> tuple[str, str]:
    """Return the rules that explain a case, and what is wrong with them."""
    codes = [other.code for other in explained]
    said = f"explained by {', '.join(codes)}"
    missed = case.explained_by and case.explained_by not in codes
    return said, f"{said}, expected {case.explained_by}" if missed else ""


def _wrong_live(rule: Rule, case: Case, view: View, rulebook: Rulebook | None) -> str:
    """Return how the answer for a run still going differs from the case."""
    if not case.live:
        return ""
    holds = judge(replace(rule, when=rule.live_when or rule.when), view).value is True
    others = [other for other in rulebook or () if other.code in rule.unless]
    silenced = rule.live == 1 or any(judge(other, view).value for other in others)
    answer = "fires" if holds and not silenced else "silent"
    return "" if answer == case.live else f"while the run goes on: {answer}, expected {case.live}"


def flips(rule: Rule, case: Case, limit: str) -> bool:
    """Return whether the answer to a case changes when a limit moves by a factor of 1.5, up or
    down."""
    view = View(run_of(case))
    answers = {
        judge(replace(rule, limits={**rule.limits, limit: value}), view).value
        for value in (rule.limits[limit], *move_limit(rule.limits[limit]))
    }
    return answers >= {True, False}


def move_limit(limit: float) -> tuple[float, float]:
    """Return a limit times 1.5 and divided by 1.5; for a share close to 1 its distance from 1 is
    scaled instead."""
    if limit == 0:
        return 0.1, -0.1
    if 0.9 <= limit < 1:
        return 1 - (1 - limit) / 1.5, 1 - (1 - limit) * 1.5
    return limit * 1.5, limit / 1.5


def _wrong(case: Case, finding: Finding) -> str:
    """Return which cause or edit of a finding differs from its case; '' if none."""
    first = finding.causes[0][0] if finding.causes else "none"
    if case.causes and first != case.causes:
        return f"the first cause is {first}, expected {case.causes}"
    moved = {e.key: _move(e) for e in finding.edits if e.applies != "advice"}
    for key, wanted in case.edits.items():
        if moved.get(key, "none") != wanted:
            return f"{key}: {moved.get(key, 'none')}, expected {wanted}"
    return ""


def _move(edit: Edit) -> Scalar:
    way = edit.direction
    return edit.operand if not way else "up" if way > 0 else "down"
