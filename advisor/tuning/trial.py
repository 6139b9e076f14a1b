"""What passes between the loop and its strategy: Trials that were run, Proposals of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.findings import Severity

Kind = Literal["full", "probe"]
Status = Literal["finished", "aborted", "nonfinite", "oom", "crashed"]
Steps = NDArray[np.int64]
Values = NDArray[np.float64]


class Said(NamedTuple):
    """A Finding in short."""

    code: str
    symptom: str
    severity: Severity


class TrialChange(NamedTuple):
    """One change of a canonical key that the plan proposes, or that a run took."""

    key: str
    op: str
    old: object
    new: object
    because: tuple[str, ...] = ()


def _no_steps() -> Steps:
    return np.empty(0, np.int64)


def _no_values() -> Values:
    return np.empty(0, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One run of a session, as the strategy sees it."""

    number: int
    values: Mapping[str, object]  # canonical config values, as "optimizer.lr"
    kind: Kind
    status: Status
    val_steps: Steps = field(default_factory=_no_steps)
    val_losses: Values = field(default_factory=_no_values)
    loss_steps: Steps = field(default_factory=_no_steps)
    losses: Values = field(default_factory=_no_values)
    best_val: float | None = None
    noise: float | None = None  # the standard error of an evaluation
    tokens: int = 0
    findings: tuple[Said, ...] = ()
    edits: tuple[TrialChange, ...] = ()  # what the plan of this run proposes next
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may spend, and the bounds of the values it may try; None: no bound."""

    runs: int | None = None
    tokens: int | None = None
    hours: float | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    probes: bool = True  # False: what is left is for whole runs


@dataclass(frozen=True, slots=True)
class TrialProposal:
    """The next run: the whole config values, and why."""

    values: Mapping[str, object]
    kind: Kind = "full"
    max_steps: int | None = None  # of a probe
    reason: str = ""
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """No run more, and why."""

    reason: str


class Strategy(Protocol):
    """What decides. ``advisor.tuning.strategy.next_run`` is one; all its functions are pure."""

    def propose(
        self,
        history: Sequence[Trial],
        start: Mapping[str, object],
        limits: Limits,
        noise: float | None,
    ) -> TrialProposal | Stop:
        """Return what the next run does; the first of ``history`` is the start itself."""

    def hopeless(
        self, partial: Trial, history: Sequence[Trial], limits: Limits, noise: float | None
    ) -> str:
        """Say why a run that still goes on is to be aborted, '' to let it go on."""

    def propose_many(
        self,
        history: Sequence[Trial],
        start: Mapping[str, object],
        limits: Limits,
        noise: float | None,
        count: int,
    ) -> Sequence[TrialProposal] | Stop:
        """Return up to so many runs that may go on at once."""
