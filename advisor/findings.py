"""The results: Evidence, Finding, Edit, Plan, Report. Frozen data with hardly any logic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from advisor.base.numbers import is_number, number
from advisor.base.redact import redact_text
from advisor.base.rendering import renderers
from advisor.errors import EditError, one_line
from advisor.run import Run, Scalar

Severity = Literal["error", "warning", "info"]
Status = Literal["failing", "warning", "ok", "unknown"]
Verdict = Literal["helped", "worse", "even", "unknown"]  # of a change that was made
Applies = Literal["safe", "review", "advice"]
Op = Literal["set", "multiply", "add", "append", "remove"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")  # from mild to bad


@dataclass(frozen=True, slots=True)
class Evidence:
    """One point or span of one Series that supports a Finding."""

    series: str
    step: int | None = None
    value: float | None = None
    expected: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of a Signal for one run: a value, or None and why; its step span and evidence."""

    value: float | None
    # Why there is no value, e.g. 'no validation loss'. Beside a value: why a rule that it excludes
    # has nothing to measure, e.g. 'the run is not over'.
    why: str = ""
    first_step: int | None = None
    last_step: int | None = None
    evidence: tuple[Evidence, ...] = ()


# The state of an Edit. proposed: no value to start from, or advice; resolved: it has both values;
# bounded: a range limits it; unchanged: the run had that value; no_key: the trainer has no such
# key; already_changed: the file holds the new value, or part of the change; held_elsewhere: the
# file takes it from a variable; file_differs: the file holds a value that the run was not trained
# with; superseded: a graver Finding changes the key; conflict: Findings want opposite changes.
EditStatus = Literal[
    "proposed", "resolved", "bounded", "unchanged", "no_key", "already_changed", "held_elsewhere",
    "file_differs", "superseded", "conflict",
]  # fmt: skip
# Where the old value is from: a config, the log itself, or the trainer's default.
EditSource = Literal["", "config", "log", "default"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One operation on one config key.

    As proposed by a rule, ``operand`` is the factor, addend, value or item. Once resolved against
    the run's Config, ``old`` and ``new`` are values in canonical units, ``native_key`` names the
    key in the user's dialect, and ``native_old`` and ``native_new`` are the values as it spells
    them. ``status`` is the state of the Edit, ``source`` where ``old`` is from; ``note`` says the
    same in words for people, with anything else that a reader must know.
    """

    key: str
    op: Op
    operand: Scalar
    applies: Applies = "review"
    low: float | None = None
    high: float | None = None
    because: tuple[str, ...] = ()
    old: Scalar | list[Scalar] = None
    new: Scalar | list[Scalar] = None
    resolved: bool = False  # False: relative, nothing known to apply it to
    status: EditStatus = "proposed"
    source: EditSource = ""
    native_key: str = ""
    note: str = ""
    native_old: Scalar | list[Scalar] = None
    native_new: Scalar | list[Scalar] = None

    @property
    def direction(self) -> int:
        """1 for an Edit that raises its number (or would, but for a bound), -1 for one that lowers
        it, else 0."""
        if self.resolved and is_number(self.old) and is_number(self.new) and self.old != self.new:
            return 1 if number(self.new) > number(self.old) else -1
        if self.op == "multiply" and is_number(self.operand):
            return (number(self.operand) > 1) - (number(self.operand) < 1)
        if self.op == "add" and is_number(self.operand):
            return (number(self.operand) > 0) - (number(self.operand) < 0)
        return 0


@dataclass(frozen=True, slots=True)
class Finding:
    """A Rule that holds for a Run."""

    code: str
    name: str
    symptom: str
    severity: Severity
    confidence: float
    message: str
    confidence_from: str = "rule"
    first_step: int | None = None
    last_step: int | None = None
    evidence: tuple[Evidence, ...] = ()
    causes: tuple[tuple[str, float], ...] = ()  # (cause, probability), most likely first
    guide: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()  # as proposed, not yet resolved
    plots: tuple[str, ...] = ()
    do: str = ""


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A rule that could not be judged, and what it lacked."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of one Edit: written, or why not."""

    edit: Edit
    written: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a Plan: the file that holds it now (None: nothing was written), the text
    before and after, and the outcome of each Edit. ``notes`` is what else the reader must know."""

    path: Path | None
    old: str
    new: str
    applied: tuple[Applied, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The consistent, ordered Edits for the next run; ``later`` waits for another run, ``dropped``
    holds superseded and conflicting Edits with a note each."""

    edits: tuple[Edit, ...] = ()
    later: tuple[Edit, ...] = ()
    dropped: tuple[Edit, ...] = ()
    overrides: tuple[str, ...] = ()
    diff: str | None = None
    writer: Writer | None = field(default=None, repr=False, compare=False)  # knows the run

    def apply(
        self, path: str | Path | None = None, *, in_place: bool = False, safe: bool = False
    ) -> Written:
        """Write the edits as `advise fix` does, and return what was written.

        ``path`` takes the changed copy of the config (default: NAME.next.yaml beside it) and is
        never overwritten; ``in_place`` changes the config itself and keeps the old one beside it;
        ``safe`` writes only edits that do not change what is learnt.
        """
        if self.writer is None:
            raise EditError("this plan belongs to no run: take that of a Report of advisor.check")
        kinds = ("safe",) if safe else ("safe", "review")
        return self.writer(self, None if path is None else Path(path), in_place, kinds)


Writer = Callable[[Plan, Path | None, bool, Collection[str]], Written]


@dataclass(frozen=True, slots=True)
class Best:
    """The best point of the run as logged: by validation loss if there is one.

    ``checkpoint`` is the one to use; ``checkpoint_step`` is where it was saved.
    """

    series: str
    step: int
    value: float
    checkpoint: str | None = None
    checkpoint_step: int | None = None

    @property
    def place(self) -> str:
        """The checkpoint, and how far from the lowest loss it was saved, in words."""
        if self.checkpoint is None:
            return ""
        apart = 0 if self.checkpoint_step is None else self.checkpoint_step - self.step
        if not apart:
            return self.checkpoint
        steps = f"{abs(apart)} step{'s' if abs(apart) > 1 else ''}"
        return f"{self.checkpoint} ({steps} {'after' if apart > 0 else 'before'} it)"


class Reversal(NamedTuple):
    """A change to undo."""

    key: str
    native_key: str
    old: object  # as it is now
    new: object  # as it was before the change


@dataclass(frozen=True, slots=True)
class Followup:
    """The effect of a change that `advise fix` made, in the run that used it."""

    verdict: Verdict
    message: str
    run: str  # the run before the change
    take_back: tuple[Reversal, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The result for one Run. It prints itself as `advise check` does, without colours, and draws
    itself in a notebook."""

    run: Run
    status: Status
    findings: tuple[Finding, ...] = ()
    suppressed: tuple[tuple[Finding, str], ...] = ()  # (finding, code that explains it)
    ran: tuple[str, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    best: Best | None = None
    plan: Plan = field(default_factory=Plan)
    followup: Followup | None = None

    @property
    def unknown_because(self) -> str:
        """Why no curve could be judged: what most rules lack of the loss."""
        whys = [why for item in self.not_judged for why in item.why.split("; ")]
        of_loss = [why for why in whys if "train/loss" in why] or whys
        return Counter(of_loss).most_common(1)[0][0] if of_loss else "no rule was asked for"

    def __str__(self) -> str:
        return renderers["text"](self)

    def _repr_html_(self) -> str:
        return renderers["html"](self)

    def __repr__(self) -> str:
        """Return the name of the run and its findings in one line."""
        codes = " ".join(finding.code for finding in self.findings) or "no findings"
        name = " ".join(filter(None, (self.run.path or self.run.format, self.run.id)))
        return f"<Report {redact_text(one_line(name))}: {self.status}, {codes}>"
