"""Rule, its parts, and the Rulebook that holds them: frozen data, loaded by load.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from advisor.findings import Applies, Severity
from advisor.run import Scalar

Confidence = Literal["low", "medium", "high"]
Expect = Literal["fires", "silent", "not_judged"]
WaitsFor = Literal["", "trainer", "data", "loop"]
Objective = Literal["supervised", "preference", "policy"]
OBJECTIVES: tuple[Objective, ...] = ("supervised", "preference", "policy")
# Series whose points a rule may need, and the signal that counts them.
POINTS = {"train/loss": "loss.points", "eval/loss": "eval.points"}
CONFIDENCES: dict[str, float] = {"low": 0.5, "medium": 0.75, "high": 0.9}
# {signal} or {signal:format} in a message, or in the value of an edit
PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.]*)(?::([^{}]*))?\}")
QUOTE = "quote"  # as a format: the log line that is the signal's evidence


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """An edit as a rule proposes it; a text ``operand`` may hold ``{signal}`` placeholders."""

    op: Literal["set", "multiply", "add", "append", "remove", "advice"]
    key: str
    operand: Scalar = None
    low: float | None = None
    high: float | None = None
    applies: Applies = "review"
    when: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """A possible cause of a finding: a name of causes.py and its share, where `when` holds."""

    name: str
    share: float
    when: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One example inside a rule file: a small run and the answer expected of the rule.

    ``causes`` is the cause that must rank first. ``edits`` says for each key whether the rule moves
    it 'up' or 'down', the value it sets, or that it leaves it ('none'). ``near`` names the limits
    that the case tests; it is empty where it tests none in particular.
    """

    name: str
    expect: Expect
    series: Mapping[str, str] = field(default_factory=dict)
    every: Mapping[str, int] = field(default_factory=dict)
    epochs: float | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    events: tuple[Mapping[str, object], ...] = ()
    near: tuple[str, ...] = ()  # limits close by: a factor of 1.5 flips the answer
    trap: bool = False
    explained_by: str = ""  # the rule in `unless` that suppresses this one
    live: Literal["", "fires", "silent"] = ""  # the answer while the run is still going
    causes: str = ""
    edits: Mapping[str, Scalar] = field(default_factory=dict)
    guide: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One YAML file: what is seen, when that holds, what explains it better, what to change."""

    code: str
    name: str
    section: str
    symptom: str
    seen: str
    means: str
    do: str
    severity: Severity
    confidence: Confidence
    guide: tuple[str, ...] = ()
    practice: tuple[int, ...] = ()  # rows of rules/practice.yaml
    message: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    when: str = ""
    checklist: str = ""  # `when` as written, with ideas by name
    unless: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    edits: tuple[RuleEdit, ...] = ()
    plots: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    waits_for: WaitsFor = ""  # what it needs beyond a log, for rules that are not yet judged
    objective: tuple[Objective, ...] = OBJECTIVES  # of the runs that it applies to
    unheld: Mapping[str, str] = field(default_factory=dict)  # limits without a near case: why
    needs: Mapping[str, int] = field(default_factory=dict)  # series -> points that it needs
    live: float = 0.0  # share of the planned steps from which a running training is judged
    live_checklist: str = ""
    live_when: str = ""  # replaces `when` while the training runs
    cases: tuple[Case, ...] = ()
    path: str = ""
    measured: float | None = None  # share of right findings on labelled runs, if known

    @property
    def sure(self) -> float:
        """How sure a finding of this rule is: as measured, else as stated in the rule file."""
        return CONFIDENCES[self.confidence] if self.measured is None else self.measured

    @property
    def counted(self) -> Mapping[str, str]:
        """Map each signal that counts points to the series whose points the rule needs."""
        return {POINTS[series]: series for series in self.needs}

    def answers_to(self, word: str) -> bool:
        """Return whether --select or --ignore means this rule: by code, prefix of a code, or
        name."""
        return self.code.startswith(word.upper()) or word.lower() in (self.name, self.symptom)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules that a run is judged by, sorted by code."""

    rules: tuple[Rule, ...]

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def find(self, word: str) -> Rule | None:
        """Return the rule with this code (any case) or name."""
        for rule in self.rules:
            if rule.code == word.upper() or rule.name == word.lower():
                return rule
        return None

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(rule.code for rule in self.rules)
