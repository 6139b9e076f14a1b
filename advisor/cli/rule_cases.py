"""Whether a rule answers its cases as they say."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.diagnosis import judge, make_finding
from advisor.findings import Edit, Finding
from advisor.rulebook.cases import run_of
from advisor.rulebook.rule import Case, Expect, Rule, Rulebook
from advisor.run import Scalar
from advisor.signals import View


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a rule answered one of its cases."""

    rule: Rule
    case: Case
    answer: Expect
    why: str = ""

    wrong: str = ""  # what is not as the case says, although the answer is

    @property
    def passed(self) -> bool:
        return self.answer == self.case.expect and not self.wrong


def run_cases(rule: Rule, rulebook: Rulebook | None = None) -> list[CaseResult]:
    """Answer all cases of a rule; with a rulebook, what its `unless` names explains is silent."""
    return [run_case(rule, case, rulebook) for case in rule.cases]


def run_case(rule: Rule, case: Case, rulebook: Rulebook | None = None) -> CaseResult:
    view = View(run_of(case))
    judgement = judge(rule, view)
    if judgement.value is None:
        return CaseResult(rule, case, "not_judged", judgement.why)
    if not judgement.value:
        return CaseResult(rule, case, "silent")
    for other in rulebook or ():
        if other.code in rule.unless and judge(other, view).value:
            return CaseResult(rule, case, "silent", f"explained by {other.code}")
    wrong = _wrong(case, make_finding(judgement, view))
    return CaseResult(rule, case, "fires", wrong, wrong)


def _wrong(case: Case, finding: Finding) -> str:
    """Say which cause or edit of a finding is not what its case wants; '' where all are."""
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
