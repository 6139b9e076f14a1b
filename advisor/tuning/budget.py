"""What a session may still spend, in runs, tokens and hours, and what the next run would take.

Probes only show the way: they may not eat up what the whole run needs that takes it. ``--runs``
bounds whole runs, where one that is twice as long counts as two, and beside them the probes:
together they take half as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from advisor.base.numbers import is_number, number
from advisor.tuning.driver import Length, planned_steps
from advisor.tuning.ledger import Entry
from advisor.tuning.trial import Limits, Trial, TrialProposal

_NEARLY = 0.02  # of the hours, or a second: what is left is no time for a run
_MOST_PROBES = 10  # for each whole run that --runs allows
PROBES = 0.5  # of the runs of --runs: what all probes may take
_ROUNDED = 1.05  # a run whose steps do not come out even is still one run
_SLACK = 1.1  # a run is begun that would take so much of what is left, and no more


def spent(entries: Sequence[Entry], limits: Limits) -> str:
    """Say which budget is used up, '' where none is; probes do not count as runs."""
    full = sum(e.plan.kind == "full" for e in entries)
    if limits.runs is not None and full >= limits.runs:
        one = limits.runs == 1
        return f"the {limits.runs} run{' of --runs is' if one else 's of --runs are'} done"
    if limits.runs is not None and len(entries) - full >= _MOST_PROBES * limits.runs:
        return f"{len(entries) - full} probes were run, as many as --runs allows"
    if limits.tokens is not None and _tokens(entries) >= limits.tokens:
        return f"the {limits.tokens:,} tokens of --tokens are spent"
    if limits.hours is not None:
        left = limits.hours * 3600 - _seconds(entries)
        if left <= max(1.0, _NEARLY * limits.hours * 3600):
            return f"the {limits.hours:g} hours of --hours are spent"
    return ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left, in whole runs such as the start's; infinite where nothing bounds it."""

    start: Trial
    length: Length
    left: float = math.inf
    what: str = ""
    probed: float = 0.0  # what the last probe took: one that is ended from outside ends late

    runs: float = math.inf  # whole runs that --runs leaves
    probes: float = math.inf  # and what it leaves for probes

    def fits(self, proposal: TrialProposal, beside: Sequence[TrialProposal] = ()) -> bool:
        return not self.short_of(proposal, beside)

    def short_of(self, proposal: TrialProposal, beside: Sequence[TrialProposal] = ()) -> str:
        """Say what is too little for a run; a probe leaves enough for its whole run."""
        takes = self.share(proposal)
        alike = [each for each in beside if each.kind == proposal.kind]
        if proposal.kind == "probe":
            takes = max(takes, self.probed)
            if takes + sum(map(self.share, alike)) > _ROUNDED * self.probes:
                return "runs"
            takes += self.share(TrialProposal(proposal.values))
        elif sum(map(self._count, (*alike, proposal))) > self.runs:
            return "runs"
        return self.what if takes + sum(map(self.share, beside)) > _SLACK * self.left else ""

    def _count(self, proposal: TrialProposal) -> float:
        return count_runs(self.share(proposal))

    def share(self, proposal: TrialProposal) -> float:
        """Return what a run takes, in runs such as the start's."""
        own = planned_steps(self.start.values, self.length) or _steps_of(self.start)
        steps = proposal.max_steps if proposal.kind == "probe" else None
        steps = steps or planned_steps(proposal.values, self.length) or own
        if not own or not steps:
            return 1.0
        return steps * _batch(proposal.values) / (own * _batch(self.start.values))


def count_runs(share: float) -> float:
    """Return as how many whole runs one counts: a shorter one is a run, too."""
    return max(1.0, share if share > _ROUNDED else 1.0)


def budget_of(entries: Sequence[Entry], start: Trial, limits: Limits, length: Length) -> Budget:
    """Return what is left of the runs, the tokens or the hours, by what the start's run took."""
    hours = None if limits.hours is None else limits.hours * 3600
    probe = [e for e in entries if e.plan.kind == "probe"][-1:]
    bounds = [
        ((limit - used(entries)) / used(entries[:1]), what, used(probe) / used(entries[:1]))
        for limit, used, what in ((limits.tokens, _tokens, "tokens"), (hours, _seconds, "hours"))
        if limit is not None and used(entries[:1]) > 0
    ]
    found = Budget(start, length, *min(bounds, default=(math.inf, "", 0.0)))
    if limits.runs is None:
        return found
    full = [count_runs(_share_taken(e, found)) for e in entries if e.plan.kind == "full"]
    probes = [_share_taken(e, found) for e in entries if e.plan.kind == "probe"]
    return replace(
        found, runs=limits.runs - sum(full), probes=PROBES * limits.runs - sum(probes)
    )  # fmt: skip


def time_at_most(limits: Limits, seconds: float) -> str:
    """Say how long a session takes at most, by what its first run took; '' where nothing does."""
    if limits.runs is None or seconds <= 0:
        return ""
    most = seconds * limits.runs * (1 + PROBES)
    if limits.hours is not None:
        most = min(most, limits.hours * 3600)
    shown = f"{most:.0f} s" if most < 120 else f"{most / 60:.0f} min"
    shown = shown if most < 7200 else f"{most / 3600:.1f} h"
    return f"by this run's {seconds:.0f} s, all runs and probes take {shown} at most"


def _share_taken(entry: Entry, budget: Budget) -> float:
    """Return what a run took of a run such as the start's: what was planned, or what it got to."""
    plan, trial = entry.plan, entry.trial
    share = budget.share(TrialProposal(plan.values, plan.kind, plan.max_steps))
    own, ended = _steps_of(budget.start), 0 if trial is None else _steps_of(trial)
    reached = ended * _batch(plan.values) / (own * _batch(budget.start.values)) if own else 0.0
    if trial is not None and trial.status != "finished":
        return min(share, reached)
    return max(share, reached) if plan.kind == "probe" else share


def estimate(limits: Limits, steps: int | None) -> str:
    """Say before the start what a session takes at most, its probes included."""
    runs = limits.runs or 1
    whole = runs + PROBES * runs
    bounds = [f"{limits.tokens:,} tokens"] if limits.tokens is not None else []
    bounds += [f"{limits.hours:g} hours"] if limits.hours is not None else []
    return (
        f"at most {runs} whole run{'s' if runs > 1 else ''}, the first of your config as it is,"
        f" and probes (runs cut off early) worth {PROBES * runs:g} more: in all {whole:g} times"
        " what one run takes"
        + (f", {math.ceil(whole * steps):,} steps" if steps else "")
        + (f"; and no more than {' and '.join(bounds)}" if bounds else "")
    )


def _steps_of(trial: Trial) -> int:
    return int(trial.loss_steps[-1]) if trial.loss_steps.size else 0


def _batch(values: Mapping[str, object]) -> float:
    size = values.get("step_scheduler.global_batch_size")
    return number(size) if is_number(size) and number(size) > 0 else 1.0


def _tokens(entries: Sequence[Entry]) -> float:
    return sum(e.trial.tokens for e in entries if e.trial is not None)


def _seconds(entries: Sequence[Entry]) -> float:
    return sum(e.seconds for e in entries)
