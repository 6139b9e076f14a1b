"""The data between the loop and its strategy: Trials that ran, Proposals for the next run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from advisor.findings import Severity

Kind = Literal["full", "probe"]
Status = Literal["finished", "aborted", "nonfinite", "oom", "crashed"]
Steps = NDArray[np.int64]  # (n,)
Values = NDArray[np.float64]  # (n,)


class BriefFinding(NamedTuple):
    """The part of a Finding that a strategy uses."""

    code: str
    symptom: str
    severity: Severity


class TrialChange(NamedTuple):
    """One change of a config value, proposed by a plan or made by a run."""

    key: str  # canonical, as "optimizer.lr"; the user's own key in native changes
    op: str  # of the edit, as "set" or "multiply"
    old: object
    new: object
    because: tuple[str, ...] = ()  # codes of the findings


def _no_steps() -> Steps:
    return np.empty(0, np.int64)


def _no_values() -> Values:
    return np.empty(0, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One run of a session, as the strategy sees it.

    Steps are optimizer steps as logged. Losses are means per token as logged (nats for
    cross-entropy), and may be NaN or infinite.
    """

    number: int  # in the session, from 1, the start
    values: Mapping[str, object]  # the whole config under canonical keys, as "optimizer.lr"
    kind: Kind
    status: Status
    val_steps: Steps = field(default_factory=_no_steps)  # (evaluations,), increasing
    val_losses: Values = field(default_factory=_no_values)  # (evaluations,)
    loss_steps: Steps = field(default_factory=_no_steps)  # (rows,), increasing
    losses: Values = field(default_factory=_no_values)  # (rows,), training loss, unsmoothed
    best_val: float | None = None  # the lowest finite validation loss
    noise: float | None = None  # standard error of one evaluation; None: too few to estimate it
    tokens: int = 0  # read in training; 0 where unknown
    findings: tuple[BriefFinding, ...] = ()
    edits: tuple[TrialChange, ...] = ()  # the edits that this run's plan proposes
    reason: str = ""  # why the strategy proposed it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may spend, and which values it may try; None: no limit."""

    runs: int | None = None  # whole runs
    tokens: int | None = None  # of all runs together
    hours: float | None = None  # of all runs together
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # key -> low, high
    probes: bool = True  # False: propose whole runs only


@dataclass(frozen=True, slots=True)
class TrialProposal:
    """A run that the strategy proposes."""

    values: Mapping[str, object]  # the whole config under canonical keys
    kind: Kind = "full"
    max_steps: int | None = None  # optimizer steps of a probe; None for a whole run
    reason: str = ""
    because: tuple[str, ...] = ()  # codes of the findings


@dataclass(frozen=True, slots=True)
class Stop:
    """The strategy's answer when no further run is worth it."""

    reason: str


class Strategy(Protocol):
    """Decides which run comes next; ``advisor.tuning.strategy.next_run`` is one.

    Its functions are pure. ``history`` holds the runs that ended, the start first; ``start`` the
    start's config values; ``noise`` the standard error of one evaluation, None where unknown.
    """

    def propose(
        self,
        history: Sequence[Trial],
        start: Mapping[str, object],
        limits: Limits,
        noise: float | None,
    ) -> TrialProposal | Stop:
        """Return the next run, or the reason to stop."""

    def explain_hopeless(
        self, partial: Trial, history: Sequence[Trial], limits: Limits, noise: float | None
    ) -> str:
        """Return why to abort a run in progress, '' to let it continue."""

    def propose_many(
        self,
        history: Sequence[Trial],
        start: Mapping[str, object],
        limits: Limits,
        noise: float | None,
        count: int,
    ) -> Sequence[TrialProposal] | Stop:
        """Return up to ``count`` runs to start at the same time, or the reason to stop."""
