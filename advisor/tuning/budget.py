"""How much of a session's budget is left, and how much the next run would cost.

A budget limits whole runs (``--runs``), tokens (``--tokens``) and hours (``--hours``). A whole run
twice as long as the start counts as two. Probes have an allowance of their own, half of ``--runs``,
and every probe must leave enough for the whole run that follows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from advisor.base.numbers import is_number, number
from advisor.tuning.driver import Length, count_planned_steps
from advisor.tuning.ledger import Entry
from advisor.tuning.trial import Limits, Trial, TrialProposal

_NEARLY = 0.02  # share of --hours (at least a second) that is too short to start a run in
_MOST_PROBES = 10  # probes for each whole run that --runs allows
PROBES = 0.5  # all probes together may cost this share of --runs
_ROUNDED = 1.05  # whole runs: rounding up the steps of the last epoch does not make it two
_SLACK = 1.1  # start a run that costs up to this multiple of what is left: estimates are rough


def explain_spent(entries: Sequence[Entry], limits: Limits) -> str:
    """Return a sentence on the limit that is used up, '' while none is.

    Probes do not count as runs.
    """
    full = sum(e.plan.kind == "full" for e in entries)
    if limits.runs is not None and full >= limits.runs:
        one = limits.runs == 1
        return f"the {limits.runs} run{' of --runs is' if one else 's of --runs are'} done"
    if limits.runs is not None and len(entries) - full >= _MOST_PROBES * limits.runs:
        return f"{len(entries) - full} probes were run, as many as --runs allows"
    if limits.tokens is not None and _sum_tokens(entries) >= limits.tokens:
        return f"the {limits.tokens:,} tokens of --tokens are spent"
    if limits.hours is not None:
        left = limits.hours * 3600 - _sum_seconds(entries)
        if left <= max(1.0, _NEARLY * limits.hours * 3600):
            return f"the {limits.hours:g} hours of --hours are spent"
    return ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left, in multiples of the start run's cost; infinite without a limit."""

    start: Trial
    length: Length
    left: float = math.inf  # of the tighter of --tokens and --hours
    what: str = ""  # which of the two: "tokens" or "hours"
    probed: float = 0.0  # cost of the last probe: one that we stop from outside overruns its steps

    runs: float = math.inf  # whole runs that --runs leaves
    probes: float = math.inf  # what --runs leaves for probes, in whole runs

    def fits(self, proposal: TrialProposal, beside: Sequence[TrialProposal] = ()) -> bool:
        """Return whether a run fits into what is left."""
        return not self.short_of(proposal, beside)

    def short_of(self, proposal: TrialProposal, beside: Sequence[TrialProposal] = ()) -> str:
        """Return the limit that a run would exceed ('runs', 'tokens', 'hours'), '' if it fits.

        ``beside`` are runs that start at the same time. A probe must leave enough for the whole
        run of its values.
        """
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
        """Return the cost of a run in start runs: its samples over the start's samples.

        1 where the number of steps is unknown.
        """
        own = count_planned_steps(self.start.values, self.length) or _steps_of(self.start)
        steps = proposal.max_steps if proposal.kind == "probe" else None
        steps = steps or count_planned_steps(proposal.values, self.length) or own
        if not own or not steps:
            return 1.0
        return steps * _batch_size_of(proposal.values) / (own * _batch_size_of(self.start.values))


def count_runs(share: float) -> float:
    """Return how many whole runs a run of this cost counts as: at least one."""
    return max(1.0, share if share > _ROUNDED else 1.0)


def budget_of(entries: Sequence[Entry], start: Trial, limits: Limits, length: Length) -> Budget:
    """Return what is left of runs, tokens and hours, measured by what the start run took."""
    hours = None if limits.hours is None else limits.hours * 3600
    probe = [e for e in entries if e.plan.kind == "probe"][-1:]
    bounds = [
        ((limit - used(entries)) / used(entries[:1]), what, used(probe) / used(entries[:1]))
        for limit, used, what in (
            (limits.tokens, _sum_tokens, "tokens"),
            (hours, _sum_seconds, "hours"),
        )
        if limit is not None and used(entries[:1]) > 0
    ]
    found = Budget(start, length, *min(bounds, default=(math.inf, "", 0.0)))
    if limits.runs is None:
        return found
    full = [count_runs(_measure_share(e, found)) for e in entries if e.plan.kind == "full"]
    probes = [_measure_share(e, found) for e in entries if e.plan.kind == "probe"]
    return replace(
        found, runs=limits.runs - sum(full), probes=PROBES * limits.runs - sum(probes)
    )  # fmt: skip


def estimate_time(limits: Limits, seconds: float) -> str:
    """Return a sentence with the session's longest possible time, '' where ``--runs`` is unset.

    ``seconds`` is the time of the first run.
    """
    if limits.runs is None or seconds <= 0:
        return ""
    most = seconds * limits.runs * (1 + PROBES)
    if limits.hours is not None:
        most = min(most, limits.hours * 3600)
    shown = f"{most:.0f} s" if most < 120 else f"{most / 60:.0f} min"
    shown = shown if most < 7200 else f"{most / 3600:.1f} h"
    return f"by this run's {seconds:.0f} s, all runs and probes take {shown} at most"


def _measure_share(entry: Entry, budget: Budget) -> float:
    """Return what a run cost in start runs: as planned, or up to the step where it ended."""
    plan, trial = entry.plan, entry.trial
    share = budget.share(TrialProposal(plan.values, plan.kind, plan.max_steps))
    own, ended = _steps_of(budget.start), 0 if trial is None else _steps_of(trial)
    seen = own * _batch_size_of(budget.start.values)
    reached = ended * _batch_size_of(plan.values) / seen if own else 0.0
    if trial is not None and trial.status != "finished":
        return min(share, reached)
    return max(share, reached) if plan.kind == "probe" else share


def estimate_cost(limits: Limits, steps: int | None) -> str:
    """Return a sentence, printed before the first run, with the session's largest possible cost.

    ``steps`` is the planned length of one run.
    """
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


def _batch_size_of(values: Mapping[str, object]) -> float:
    size = values.get("step_scheduler.global_batch_size")
    return number(size) if is_number(size) and number(size) > 0 else 1.0


def _sum_tokens(entries: Sequence[Entry]) -> float:
    return sum(e.trial.tokens for e in entries if e.trial is not None)


def _sum_seconds(entries: Sequence[Entry]) -> float:
    return sum(e.seconds for e in entries)
