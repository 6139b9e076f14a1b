"""Rulebook x Run -> Report: which rules hold, on what evidence, and which explain the others."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from advisor.base.numbers import count
from advisor.base.strict_yaml import scalar
from advisor.dialects.words import language_of, speak
from advisor.errors import AdvisorError, one_line
from advisor.findings import (
    SEVERITIES,
    Edit,
    Evidence,
    Finding,
    NotJudged,
    Reading,
    Report,
    Severity,
)
from advisor.rulebook.causes import CURES
from advisor.rulebook.condition import Lookup, parse
from advisor.rulebook.ranking import rank_causes
from advisor.rulebook.rule import PLACEHOLDER, QUOTE, Rule, Rulebook, RuleEdit
from advisor.run import Run, Scalar
from advisor.signals import View, resolve
from advisor.signals.best import best_point

MAX_EVIDENCE = 6
MAX_QUOTE = 160  # characters of a log line quoted in a message
# One signal of each group must have a value before a run can be 'ok'.
_KNOWN = (("loss.stays_up", "eval.tail_drop"), ("loss.progress", "eval.tail_drop"))
_KNOWN_OF_POLICY = (("reward.stays_down",), ("grad.zero_share", "reward.no_spread"))

# A count of 1 before a plural in a filled message: '1 sudden jumps' or '1 losses are'.
_ONE = re.compile(
    r"(?<![\d.,])1 ((?:sudden |gradient |logged |skipped |standard )?)"
    r"(times|points|jumps|rises|falls|drops|overflows|losses|norms|evaluations|epochs|samples|steps|"
    r"errors)\b( are)?"
)

_ONE_BOUND = re.compile(r"(usual is ([\d.e+-]+)) to \2(?![\d.e+-])")  # both ends are one value
_MINUS_ZERO = re.compile(r"(?<![\w.])-(0(?:\.0+)?%?)(?![\d.])")  # a share that rounds to zero

_parse = lru_cache(maxsize=1024)(parse)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A Rule's answer for one run, and the Readings that it is based on, by signal name."""

    rule: Rule
    value: bool | None
    readings: Mapping[str, Reading]

    @property
    def why(self) -> str:
        """Return what was missing for an answer."""
        whys = [r.why for r in self.readings.values() if r.why]
        return "; ".join(dict.fromkeys(whys)) or "a value that it needs cannot be computed"


def diagnose(
    run: Run,
    rulebook: Rulebook,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severity: Severity = "info",
) -> Report:
    """Judge a run by all rules and return the Report, its plan still empty.

    ``select`` and ``ignore`` hold codes, prefixes of codes, names or symptoms; ``severity`` is the
    lowest to report. Findings that are left out still suppress what they explain.
    """
    return diagnose_view(View(run), rulebook, select, ignore, severity)


def diagnose_view(
    view: View,
    rulebook: Rulebook,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severity: Severity = "info",
) -> Report:
    """Return the same for a run with a View of its own, as a live run has."""
    run = view.run
    judged = [judge(rule, view) for rule in rulebook if not rule.waits_for]
    wanted = [j for j in judged if _is_wanted(j.rule, select, ignore)]
    explained = explain({j.rule.code: j.rule for j in judged if j.value})
    floor = SEVERITIES.index(severity)
    fired = [j for j in wanted if j.value and SEVERITIES.index(j.rule.severity) >= floor]
    findings = {j.rule.code: make_finding(j, view) for j in fired}
    roots = [_heir(f, findings, explained) for f in findings.values() if f.code not in explained]
    shown = sorted(roots, key=_order)
    return Report(
        run=run,
        status=_status(shown, view),
        findings=tuple(shown),
        suppressed=tuple((f, explained[c]) for c, f in findings.items() if c in explained),
        ran=tuple(j.rule.code for j in wanted if j.value is not None),
        not_judged=tuple(NotJudged(j.rule.code, j.why) for j in wanted if j.value is None),
        best=best_point(run),
    )


def judge(rule: Rule, view: View) -> Judgement:
    """Evaluate the `when` of one rule on one run."""
    verdict = _parse(rule.when).judge(_lookup(rule, view))
    names = [name for name in verdict.names if name not in rule.limits]
    readings = {name: _read(name, view) for name in names}
    if verdict.value is False and names and {*names} <= rule.counted.keys():
        lacking = {name: _too_few(rule.counted[name], readings[name], rule) for name in names}
        return Judgement(rule, None, lacking)
    if verdict.value is False and names and all(reading.why for reading in readings.values()):
        return Judgement(rule, None, readings)  # excluded by the kind of run, not by its curves
    return Judgement(rule, verdict.value, readings)


def explain(fired: Mapping[str, Rule]) -> dict[str, str]:
    """Return code -> code of the root finding that explains it, for rules suppressed by
    `unless`."""
    direct: dict[str, str] = {}
    for code, rule in fired.items():
        for other in rule.unless:
            if other in fired:
                direct.setdefault(code, other)
    roots: dict[str, str] = {}
    for code, root in direct.items():
        # rulebooks are free of circles: loading checks it
        while root in direct:
            root = direct[root]
        roots[code] = root
    return roots


def _heir(root: Finding, findings: Mapping[str, Finding], explained: Mapping[str, str]) -> Finding:
    """Return a root finding, with those edits of what it explains that fix its likeliest cause."""
    keys = CURES.get(root.causes[0][0], ()) if root.causes else ()
    missing = set(keys) - {edit.key for edit in root.edits if edit.applies != "advice"}
    passed = [
        replace(edit, because=(root.code, code))
        for code, by in explained.items()
        if by == root.code and code in findings
        for edit in findings[code].edits
        if edit.key in missing and edit.applies != "advice"
    ]
    return replace(root, edits=(*root.edits, *passed)) if passed else root


def make_finding(judgement: Judgement, view: View) -> Finding:
    """Turn a rule that holds into a Finding with its evidence, causes and edits."""
    rule, readings = judgement.rule, judgement.readings.values()
    first = [r.first_step for r in readings if r.first_step is not None]
    last = [r.last_step for r in readings if r.last_step is not None]
    language = language_of(view.run)
    return Finding(
        code=rule.code,
        name=rule.name,
        symptom=rule.symptom,
        severity=rule.severity,
        confidence=rule.sure,
        confidence_from="rule" if rule.measured is None else "calibration",
        message=speak(message_of(rule, view), language),
        first_step=min(first, default=None),
        last_step=max(last, default=None),
        evidence=_evidence(readings),
        causes=rank_causes(rule.causes, _lookup(rule, view)),
        guide=rule.guide,
        edits=tuple(e for edit in rule.edits if (e := _edit(edit, rule, view)) is not None),
        plots=tuple(name for name in rule.plots if name in view.run.series),
        do=speak(rule.do, language),
    )


def message_of(rule: Rule, view: View) -> str:
    """Return the finding in numbers; in general words where a number is not known."""
    return (fill(rule.message, rule, view) if rule.message else None) or rule.seen


def fill(text: str, rule: Rule, view: View) -> str | None:
    """Fill ``{signal:format}`` placeholders; None where one of them has no value.

    ``{signal:quote}`` is the text of the signal's first evidence: a line of the log, unchanged.
    """
    lookup = _lookup(rule, view)
    found = {match[1]: lookup(match[1]) for match in PLACEHOLDER.finditer(text)}
    known = {name: value for name, value in found.items() if value is not None}
    if len(known) < len(found):
        return None

    def value(match: re.Match[str]) -> str:
        if match[2] == QUOTE:
            return match[0]
        return format(float(known[match[1]]), match[2] or "g")

    def quote(match: re.Match[str]) -> str:
        evidence = _read(match.group(1), view).evidence
        return one_line(evidence[0].text)[:MAX_QUOTE] if evidence else "?"

    filled = _ONE.sub(_singular, PLACEHOLDER.sub(value, text))
    filled = _MINUS_ZERO.sub(r"\1", _ONE_BOUND.sub(r"\1", filled))
    return PLACEHOLDER.sub(quote, filled)


def _singular(match: re.Match[str]) -> str:
    between, noun, verb = match.groups()
    noun = noun.removesuffix("es") if noun == "losses" else noun.removesuffix("s")
    return f"1 {between}{noun}{' is' if verb else ''}"


def _lookup(rule: Rule, view: View) -> Lookup:
    def lookup(name: str) -> float | None:
        if name in rule.limits:
            return rule.limits[name]
        return _read(name, view).value

    return lookup


def _read(name: str, view: View) -> Reading:
    try:
        return resolve(name, view)
    except AdvisorError as error:  # expected; bugs pass through on purpose
        return Reading(None, str(error))


def _too_few(series: str, reading: Reading, rule: Rule) -> Reading:
    """Return a Reading that says how many points a rule lacks: this must not read as 'all is
    well'."""
    has = f"only {count(int(reading.value or 0), 'point')} of {series}"
    return Reading(None, f"{has}, of {rule.needs[series]} that it needs")


def _is_wanted(rule: Rule, select: Sequence[str], ignore: Sequence[str]) -> bool:
    if select and not any(rule.answers_to(word) for word in select):
        return False
    return not any(rule.answers_to(word) for word in ignore)


def _order(finding: Finding) -> tuple[int, float, str]:
    return (-SEVERITIES.index(finding.severity), -finding.confidence, finding.code)


def _status(
    findings: Sequence[Finding], view: View
) -> Literal["failing", "warning", "ok", "unknown"]:
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        return "failing"
    if "warning" in severities:
        return "warning"
    broken_off = view.run.facts.get("broken_off")  # by what is another run's history
    return "ok" if _is_known(view) and not broken_off else "unknown"


def _is_known(view: View) -> bool:
    """Return whether the curves say enough for an 'ok': whether the run left its best level for
    good, and whether anything was learnt. For a policy, rewards and gradients say so."""
    policy = _read("run.is_policy", view).value
    groups = _KNOWN_OF_POLICY if policy else _KNOWN
    return all(any(_read(name, view).value is not None for name in group) for group in groups)


def _evidence(readings: Iterable[Reading]) -> tuple[Evidence, ...]:
    """Return what the readings are based on, each point once, with the texts on a point joined."""
    found: dict[tuple[str, int | None, str], Evidence] = {}
    for each in (evidence for reading in readings for evidence in reading.evidence):
        # evidence without a step (a line of the config) is identified by its text
        at = (each.series, each.step, repr(each.value) if each.step is not None else each.text)
        old = found.setdefault(at, each)
        if each.text and each.text not in old.text:
            text = f"{old.text}; {each.text}" if old.text else each.text
            expected = each.expected if old.expected is None else old.expected
            found[at] = replace(old, text=text, expected=expected)
    return tuple(found.values())[:MAX_EVIDENCE]


def _edit(edit: RuleEdit, rule: Rule, view: View) -> Edit | None:
    """Return the Edit that a rule proposes, or None where its `when` does not hold."""
    if edit.when and not _parse(edit.when).evaluate(_lookup(rule, view)):
        return None
    if edit.op == "advice":
        return Edit(edit.key, "set", None, "advice", because=(rule.code,), note=edit.text)
    operand: Scalar = edit.operand
    if isinstance(operand, str) and "{" in operand:
        filled = fill(operand, rule, view)
        operand = None if filled is None else scalar(filled)
        if not isinstance(operand, int | float) or not math.isfinite(operand):
            return None
    plain = Edit(edit.key, edit.op, operand, edit.applies, edit.low, edit.high, (rule.code,))
    return replace(plain, note=edit.text) if edit.text else plain
