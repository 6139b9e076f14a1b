"""What a session may still spend, in tokens and hours, and what the next run would take of it.

Probes only show the way: they may not eat up what the whole run needs that takes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.edits import is_number, number
from advisor.tuning.driver import Length, planned_steps
from advisor.tuning.ledger import Entry
from advisor.tuning.trial import Limits, Proposal, Trial

_NEARLY = 0.02  # of the hours, or a second: what is left is no time for a run
_MOST_PROBES = 10  # for each whole run that --runs allows
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

    def fits(self, proposal: Proposal, beside: float = 0.0) -> bool:
        """Say whether a run is within what is left; a probe leaves enough for its whole run."""
        takes = self.share(proposal)
        if proposal.kind == "probe":
            takes = max(takes, self.probed) + self.share(Proposal(proposal.values))
        return beside + takes <= _SLACK * self.left

    def share(self, proposal: Proposal) -> float:
        """Return what a run takes, in runs such as the start's."""
        own = planned_steps(self.start.values, self.length) or _logged(self.start)
        steps = proposal.max_steps if proposal.kind == "probe" else None
        steps = steps or planned_steps(proposal.values, self.length) or own
        if not own or not steps:
            return 1.0
        return steps * _batch(proposal.values) / (own * _batch(self.start.values))


def budget_of(entries: Sequence[Entry], start: Trial, limits: Limits, length: Length) -> Budget:
    """Return what is left of the tokens or the hours, by what the start's run took."""
    hours = None if limits.hours is None else limits.hours * 3600
    probe = [e for e in entries if e.plan.kind == "probe"][-1:]
    bounds = [
        ((limit - used(entries)) / used(entries[:1]), what, used(probe) / used(entries[:1]))
        for limit, used, what in ((limits.tokens, _tokens, "tokens"), (hours, _seconds, "hours"))
        if limit is not None and used(entries[:1]) > 0
    ]
    return Budget(start, length, *min(bounds, default=(math.inf, "", 0.0)))


def _logged(trial: Trial) -> int:
    return int(trial.loss_steps[-1]) if trial.loss_steps.size else 0


def _batch(values: Mapping[str, object]) -> float:
    size = values.get("step_scheduler.global_batch_size")
    return number(size) if is_number(size) and number(size) > 0 else 1.0


def _tokens(entries: Sequence[Entry]) -> float:
    return sum(e.trial.tokens for e in entries if e.trial is not None)


def _seconds(entries: Sequence[Entry]) -> float:
    return sum(e.seconds for e in entries)
