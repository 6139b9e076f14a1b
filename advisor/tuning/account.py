"""The contents of a session's report: its runs, gain, cost, and the changes nobody tried."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.base.redact import redact_value, restore
from advisor.errors import AdvisorError
from advisor.tuning.ledger import Entry, Ledger
from advisor.tuning.proof import SessionOutcome, outcome_from
from advisor.tuning.session import Setup, read_setup
from advisor.tuning.trial import Trial, TrialChange
from advisor.tuning.writing import Start, list_native_changes, read_start


@dataclass(frozen=True, slots=True)
class Account:
    """Everything a report shows of one session."""

    folder: Path
    setup: Setup
    start: Start
    entries: tuple[Entry, ...]
    outcome: SessionOutcome | None  # None while the session runs, or when it failed
    failed: str = ""  # why a session that is over has no outcome

    @property
    def best(self) -> Entry | None:
        """The run whose config the session recommends, None before an outcome."""
        number = self.outcome.best if self.outcome else 0
        return next((e for e in self.entries if e.plan.number == number), None)

    @property
    def tokens(self) -> int:
        """Tokens read by all runs that ended."""
        return sum(e.trial.tokens for e in self.entries if e.trial is not None)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all runs, summed; parallel runs count each."""
        return sum(e.seconds for e in self.entries)

    @property
    def changes(self) -> tuple[TrialChange, ...]:
        """The changes from the start config to the best one."""
        best = self.best
        return () if best is None else best.plan.changes

    @property
    def untried(self) -> tuple[TrialChange, ...]:
        """The edits that the best run's plan proposes and no run has tried."""
        best = self.best
        tried = [e.trial.values for e in self.entries if e.trial is not None]
        edits = best.trial.edits if best is not None and best.trial is not None else ()
        return tuple(e for e in edits if not any(_has_value(values, e) for values in tried))

    def changes_of(self, entry: Entry) -> tuple[TrialChange, ...]:
        """Return a run's changes from the start, under the keys of the user's own config."""
        return list_native_changes(self.start, entry.plan.config, entry.plan.changes)

    def as_dict(self) -> dict[str, Any]:
        """Return the account as a JSON object; losses as logged, times in seconds."""
        best = self.best
        outcome = self.outcome.as_dict() if self.outcome else None
        return {
            "schema": 1,
            "session": str(self.folder),
            "config": str(self.setup.config),
            "outcome": outcome,
            "changes": [describe_change(c) for c in self.changes],
            "diff": best.plan.diff if best else "",
            "runs": [_describe_run(e, self.changes_of(e)) for e in self.entries],
            "tokens": self.tokens,
            "seconds": self.seconds,
            "untried": [describe_change(c) for c in self.untried],
        }


def read_account(folder: Path) -> Account:
    """Read a session without its lock, so also while a loop works on it.

    AdvisorError where the ledger is missing, damaged, or of another version.
    """
    ledger = Ledger.open(folder, readonly=True)
    try:
        setup, text = read_setup(ledger, folder)
        said: Mapping[str, Any] | None = ledger.state("outcome")
        try:
            outcome = outcome_from(said) if said else None
        except (ValueError, TypeError) as error:
            raise AdvisorError(f"{folder}: its outcome was not written by tune ({error})") from None
        return Account(
            folder, setup, read_start(setup.config, text), tuple(ledger.entries()), outcome,
            str(ledger.state("failed", "")),
        )  # fmt: skip
    finally:
        ledger.close()


def best_config(account: Account) -> str:
    """Return the best config as text in the user's own dialect, secrets restored."""
    best = account.best
    if best is None:
        return account.start.text
    return restore(best.plan.config, account.start.text) or best.plan.config


def describe_change(change: TrialChange) -> dict[str, Any]:
    """Return one change as a JSON object, secrets hidden."""
    return {
        "key": change.key,
        "from": redact_value(change.key, change.old),
        "to": redact_value(change.key, change.new),
        "because": list(change.because),
    }


def _has_value(values: Mapping[str, object], edit: TrialChange) -> bool:
    return repr(values.get(edit.key)) == repr(edit.new)


def _describe_run(entry: Entry, written: Sequence[TrialChange]) -> dict[str, Any]:
    plan, trial = entry.plan, entry.trial
    found: dict[str, Any] = {
        "number": plan.number,
        "kind": plan.kind,
        "state": entry.state,
        "folder": plan.folder,
        "changes": [describe_change(c) for c in plan.changes],
        "native_changes": [describe_change(c) for c in written],
        "reason": plan.reason,
        "because": list(plan.because),
        "seconds": entry.seconds,
        "verdict": entry.verdict,
        "said": entry.said,
    }
    return found if trial is None else {**found, **_describe_result(trial)}


def _describe_result(trial: Trial) -> dict[str, Any]:
    return {
        "status": trial.status,
        "best_val": trial.best_val,
        "tokens": trial.tokens,
        "findings": [list(f) for f in trial.findings],
    }


def select_drawable(entries: Sequence[Entry]) -> list[tuple[Entry, Trial]]:
    """Return the runs that logged a validation curve, for the report's plot."""
    return [(e, e.trial) for e in entries if e.trial is not None and e.trial.val_losses.size]


def format_json(value: object) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=1)
