"""One look at a running training: the rules that make sense now, asked as cheaply as they can."""

from __future__ import annotations

from advisor.condition import parse
from advisor.diagnose import explain, judge, make_finding
from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES, Finding
from advisor.rule import Rule, Rulebook
from advisor.signals import View, resolve

# What can be seen at a single point or within few: asked when a screen asks for it.
QUICK = frozenset(
    ("nonfinite", "no_signal", "divergence", "spike", "spikes", "grad_spikes", "numerics", "oom",
     "lr_schedule", "resume_jump")
)  # fmt: skip


class Looks:
    """The rules of a rulebook, with their conditions ready, by when they are asked."""

    def __init__(self, rulebook: Rulebook) -> None:
        rules = [rule for rule in rulebook if not rule.needs and rule.when]
        self._conditions = {rule.code: parse(rule.when) for rule in rules}
        self._rules = {rule.code: rule for rule in rules}
        live = [rule for rule in rules if rule.live != "end"]
        self._ended = self._with_roots(rules)
        self._full = self._with_roots(live)
        self._quick = self._with_roots([rule for rule in live if rule.symptom in QUICK])
        self._waiting = frozenset(rule.code for rule in rules if rule.live == "end")

    def look(
        self, view: View, full: bool, ended: bool = False
    ) -> tuple[list[Finding], frozenset[str]]:
        """Return what is found, gravest first, and the codes that were asked for."""
        codes = self._ended if ended else self._full if full else self._quick
        fired = {code: self._rules[code] for code in codes if self._holds(code, view)}
        explained = explain(fired)
        hidden = explained.keys() if ended else explained.keys() | self._waiting
        found = [
            make_finding(judge(rule, view), view) for c, rule in fired.items() if c not in hidden
        ]
        found.sort(key=lambda f: (-SEVERITIES.index(f.severity), -f.confidence, f.code))
        return found, frozenset(codes)

    def _holds(self, code: str, view: View) -> bool:
        limits, condition = self._rules[code].limits, self._conditions[code]

        def lookup(name: str) -> float | None:
            return limits[name] if name in limits else _value(name, view)

        return condition.evaluate(lookup) is True

    def _with_roots(self, rules: list[Rule]) -> tuple[str, ...]:
        """Add the rules that explain these: what one of them explains is not told."""
        wanted = {rule.code for rule in rules}
        todo = list(wanted)
        while todo:
            for code in self._rules[todo.pop()].unless:
                if code in self._rules and code not in wanted:
                    wanted.add(code)
                    todo.append(code)
        return tuple(code for code in self._rules if code in wanted)


def _value(name: str, view: View) -> float | None:
    try:
        return resolve(name, view).value
    except AdvisorError:  # what it lacks is said by findings(), not at every point
        return None
