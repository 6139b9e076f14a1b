"""One look at a run in progress: evaluates the rules that apply now, as cheaply as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from advisor.diagnosis import judge, make_finding
from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES, Finding
from advisor.rulebook.condition import Condition, parse
from advisor.rulebook.rule import Rule, Rulebook
from advisor.signals import View, resolve

Kind = Literal["full", "quick", "eval", "flat", "end"]
# Symptoms that show within a few points: evaluated as soon as a screen is suspicious.
QUICK = frozenset(
    ("nonfinite", "no_signal", "divergence", "spike", "spikes", "grad_spikes", "numerics", "oom",
     "resume_jump")
)  # fmt: skip
FLAT = frozenset(("plateau", "early_plateau", "underfit", "lr_too_low"))
FLAT_FROM = 0.1  # share of the planned steps, equal to `live` of the rules about a flat loss
HALF = 250  # loss points that count as half a run where the planned steps are unknown


class Looks:
    """The rules of a rulebook with parsed conditions, grouped by when they are evaluated."""

    def __init__(self, rulebook: Rulebook) -> None:
        rules = [rule for rule in rulebook if not rule.waits_for and rule.when]
        self._rules = {rule.code: rule for rule in rules}
        self._conditions = {rule.code: parse(rule.when) for rule in rules}
        # during a run, `live_when` replaces `when`
        live = [replace(r, when=r.live_when or r.when) for r in rules if r.live < 1]
        self._live = {rule.code: parse(rule.when) for rule in live if rule.live_when}
        self._sets: dict[Kind, list[Rule]] = {
            "end": rules,
            "full": live,
            "quick": [rule for rule in live if rule.symptom in QUICK],
            "flat": [rule for rule in live if rule.symptom in FLAT],
            "eval": [r for r in live if r.symptom not in FLAT and self._uses(r, "eval.")],
        }
        self._codes = {kind: frozenset(r.code for r in rules) for kind, rules in self._sets.items()}

    def look(self, view: View, kind: Kind) -> tuple[list[Finding], frozenset[str], dict[str, str]]:
        """Return the findings, most severe first, the codes that were evaluated, and code -> code
        of the explaining rule for those that hold but are suppressed.

        During a run, a rule counts from the share ``live`` of the planned steps on. The rules that
        would explain it are evaluated only where it holds.
        """
        done, answers = (1.0 if kind == "end" else estimate_done(view)), dict[str, bool]()
        lookup = _make_lookup(view)

        def holds(code: str) -> bool:
            if code not in answers:
                known = code in self._rules
                answers[code] = known and self._holds(code, self._conditions[code], lookup)
            return answers[code]

        def says(rule: Rule) -> bool:
            if kind == "end" or rule.code not in self._live:
                return holds(rule.code)
            return self._holds(rule.code, self._live[rule.code], lookup)

        found, explained = [], dict[str, str]()
        for rule in self._sets[kind]:
            if rule.live > done or not says(rule):
                continue
            by = next(filter(holds, rule.unless), "")
            if by:
                explained[rule.code] = by
            else:
                found.append(make_finding(judge(rule, view), view))
        found.sort(key=lambda f: (-SEVERITIES.index(f.severity), -f.confidence, f.code))
        return found, self._codes[kind], explained

    def _holds(
        self, code: str, condition: Condition, lookup: Callable[[str], float | None]
    ) -> bool:
        limits = self._rules[code].limits

        def value(name: str) -> float | None:
            return limits[name] if name in limits else lookup(name)

        return condition.evaluate(value) is True

    def _uses(self, rule: Rule, beginning: str) -> bool:
        return any(name.startswith(beginning) for name in self._conditions[rule.code].names)


def estimate_done(view: View) -> float:
    """Return the share of the run that is done, at most 0.99.

    Where the planned steps are unknown, estimated from the number of loss points.
    """
    done = resolve("run.done", view).value
    return min(0.99, len(view.loss) / HALF * 0.5 if done is None else done)


def _make_lookup(view: View) -> Callable[[str], float | None]:
    """Return a lookup of signals by name that computes each one once."""
    known: dict[str, float | None] = {}

    def lookup(name: str) -> float | None:
        if name not in known:
            try:
                known[name] = resolve(name, view).value
            except AdvisorError:  # Monitor.findings() names what is missing
                known[name] = None
        return known[name]

    return lookup
