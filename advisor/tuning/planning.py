"""The next runs: the strategy's Proposals turned into Plans with their config files' text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advisor.base.redact import redact_value
from advisor.errors import EditError
from advisor.plan.make import Group, group_of
from advisor.plan.target import Target, plain
from advisor.run import Run
from advisor.tuning.budget import budget_of, explain_spent
from advisor.tuning.choice import is_eligible, noise_of
from advisor.tuning.driver import Length
from advisor.tuning.ledger import Entry, TrialPlan
from advisor.tuning.session import Session, folder_of
from advisor.tuning.trial import Limits, Stop, Strategy, Trial, TrialProposal
from advisor.tuning.writing import Start, changes_between, list_native_changes, write_values

# Keys that a strategy may change although the config leaves them out: their defaults count as
# part of the start.
_TUNED = (
    "optimizer.lr", "optimizer.weight_decay", "lr_scheduler.lr_warmup_steps",
    "step_scheduler.global_batch_size", "step_scheduler.local_batch_size",
    "step_scheduler.num_epochs", "clip_grad_norm.max_norm", "peft.dim", "peft.alpha",
    "peft.dropout",
)  # fmt: skip
# Runs at other rates that repeat the start's losses exactly: then the trainer reads no config.
MOST_IDENTICAL = 3


@dataclass(frozen=True, slots=True)
class Planner:
    """Turns the strategy's answers into Plans that fit into the budget."""

    session: Session
    strategy: Strategy
    limits: Limits
    parallel: int = 1

    def propose(self) -> list[TrialPlan] | Stop:
        """Return the runs to start next, or the reason to stop."""
        ledger = self.session.ledger
        entries = ledger.entries()
        if not entries:
            return [self.plan_start()]
        why = explain_spent(entries, self.limits)
        if why:
            return Stop(why)
        history = [e.trial for e in entries if e.trial is not None]
        if ignores_rate(history):
            return Stop("the losses are the same at every rate: does the trainer read {config}?")
        start = dict(ledger.state("start") or entries[0].plan.values)
        found = self._propose_within(entries, history, start)
        if isinstance(found, Stop):
            return found
        plans: list[TrialPlan] = []
        for proposal in found:
            plan = self._write_plan(proposal, start, len(entries) + len(plans) + 1)
            if not any(_is_same_run(other, plan) for other in (*(e.plan for e in entries), *plans)):
                plans.append(plan)
        return plans or Stop("every proposed run was run already")

    def _propose_within(
        self, entries: Sequence[Entry], history: Sequence[Trial], start: Mapping[str, object]
    ) -> Sequence[TrialProposal] | Stop:
        """Return the proposals that fit into the budget; ask again for whole runs only where no
        probe fits."""
        length = Length(*(self.session.ledger.state("length") or (None, None)))
        budget = budget_of(entries, history[0], self.limits, length)
        short = ""
        for limits in (self.limits, replace(self.limits, probes=False)):
            found = self._ask(history, start, limits)
            if isinstance(found, Stop):
                return found
            fitting: list[TrialProposal] = []
            for each in found:
                lacks = budget.short_of(each, fitting)
                short = lacks or short
                if not lacks:
                    fitting.append(each)
            if fitting:
                return fitting
        return Stop(f"what is left of --{short} is too little for the next run")

    def _ask(
        self, history: Sequence[Trial], start: Mapping[str, object], limits: Limits
    ) -> Sequence[TrialProposal] | Stop:
        strategy = self.strategy
        smaller = _propose_smaller(history)
        if smaller is not None:
            return [smaller]
        noise = noise_of(history)
        if self.parallel > 1:
            return strategy.propose_many(history, start, limits, noise, self.parallel)
        found = strategy.propose(history, start, limits, noise)
        return found if isinstance(found, Stop) else [found]

    def plan_start(self) -> TrialPlan:
        """Return the Plan of the start run: the user's config, unchanged."""
        start = self.session.start
        return TrialPlan(
            1, "full", dict(start.config.values), (), start.text, "", folder_of(1, "full"),
            reason="your config as it is",
        )  # fmt: skip

    def _write_plan(
        self, proposal: TrialProposal, start: Mapping[str, object], number: int
    ) -> TrialPlan:
        changes = changes_between(start, proposal.values)
        try:
            text, diff = write_values(self.session.start, changes)
        except EditError as error:
            text, diff = "", f"cannot be written: {error}"
        return TrialPlan(
            number, proposal.kind, dict(proposal.values), changes, text, diff,
            folder_of(number, proposal.kind), proposal.max_steps, proposal.reason,
            proposal.because,
        )  # fmt: skip


def _propose_smaller(history: Sequence[Trial]) -> TrialProposal | None:
    """Return the last run with its plan's memory edits, where it and all before ran out of memory.

    None otherwise: the strategy has losses to go by.
    """
    last = history[-1]
    memory = [e for e in last.edits if group_of(e.key) <= Group.NUMERICS]
    if last.status != "oom" or not memory or any(is_eligible(trial) for trial in history):
        return None
    because = tuple(dict.fromkeys(code for edit in memory for code in edit.because))
    values = {**last.values, **{edit.key: edit.new for edit in memory}}
    return TrialProposal(
        values, reason="out of memory: the same batch in smaller pieces", because=because
    )


def ignores_rate(history: Sequence[Trial]) -> bool:
    """Return whether other learning rates gave the very same losses.

    Then the trainer does not read the config that we write.
    """
    start, key = history[0], "optimizer.lr"
    others = [t for t in history[1:] if t.values.get(key) != start.values.get(key)]
    compared = [t for t in others if t.val_losses.size > 1 and t.losses.size > 1]
    return len(compared) >= MOST_IDENTICAL and all(
        np.array_equal(ours, theirs[: ours.size])
        for t in compared
        for ours, theirs in ((t.losses, start.losses), (t.val_losses, start.val_losses))
    )


def read_start_values(run: Run) -> dict[str, object]:
    """Return the values a run was trained with, including defaults of the tunable keys."""
    target = Target(run.config, run)
    values = dict(target.full)
    for key in _TUNED:
        if key not in values:
            value = plain(target.old(key).value)
            if value is not None:
                values[key] = value
    if any(key.startswith("peft.") for key in run.config.values):
        return values
    return {key: value for key, value in values.items() if not key.startswith("peft.")}


def _is_same_run(one: TrialPlan, other: TrialPlan) -> bool:
    def list_tried(plan: TrialPlan) -> list[tuple[str, str]]:
        return sorted((c.key, repr(c.new)) for c in plan.changes)

    same = one.kind == other.kind and one.max_steps == other.max_steps
    return same and list_tried(one) == list_tried(other)


def format_value(value: object) -> str:
    """Return a config value as text for one line."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "not set" if value is None else str(value)


def format_start(entry: Entry, start: Start) -> str:
    """Return the line printed when a run starts: its changes and the reason."""
    plan = entry.plan
    changes = list_native_changes(start, plan.config, plan.changes)
    what = ", ".join(
        f"{key} {format_value(redact_value(key, old))} -> {format_value(redact_value(key, new))}"
        for key, _, old, new, _ in changes
    )
    again = " again" if entry.attempts else ""
    steps = f" of {plan.max_steps} steps" if plan.kind == "probe" else ""
    kind = f"{plan.kind}{steps}" if plan.number > 1 else "start"
    parts = [part for part in (what, plan.reason) if part]
    return f"run {plan.number}{again} ({kind}): {'; '.join(parts)}"


def format_end(trial: Trial, seconds: float, said: str, word: str) -> str:
    """Return the line printed when a run ends: status, validation loss, seconds, verdict."""
    loss = "no validation loss" if trial.best_val is None else f"validation {trial.best_val:.4f}"
    status = trial.status if not said else f"{trial.status} ({said})"
    what = {"kept": "kept", "reverted": "worse, reverted", "even": "no clear gain"}.get(word, "")
    parts = [status, loss, f"{seconds:.0f} s", what]
    return f"run {trial.number}: " + ", ".join(part for part in parts if part)
