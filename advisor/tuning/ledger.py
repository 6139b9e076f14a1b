"""The Ledger of a session: an SQLite file with one row a run, written before and after the run."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advisor.base.redact import redact_text, redact_value
from advisor.errors import AdvisorError
from advisor.tuning.rows import check_row, from_row, to_change, to_json, to_row
from advisor.tuning.trial import Kind, Trial, TrialChange

NAME = "ledger.sqlite"
SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS session (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, kind TEXT NOT NULL, max_steps INTEGER,
    "values" TEXT NOT NULL, changes TEXT NOT NULL, config TEXT NOT NULL, diff TEXT NOT NULL,
    reason TEXT NOT NULL, because TEXT NOT NULL, folder TEXT NOT NULL, planned REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, ended REAL, seconds REAL, exit INTEGER, said TEXT,
    verdict TEXT, outcome TEXT
);
CREATE TABLE IF NOT EXISTS tests (number INTEGER PRIMARY KEY, found TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """A run before it starts: the values it tries, its config as text, and the reason."""

    number: int  # from 1, the start
    kind: Kind
    values: Mapping[str, object]  # the whole config under canonical keys
    changes: tuple[TrialChange, ...]  # from the start
    config: str  # text of its config file; '' where the changes cannot be written
    diff: str  # unified diff from the start's config, or why it cannot be written
    folder: str  # relative to the session's folder
    max_steps: int | None = None  # of a probe
    reason: str = ""
    because: tuple[str, ...] = ()  # codes of the findings


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the Ledger."""

    plan: TrialPlan
    state: str = "planned"  # planned, running, done
    trial: Trial | None = None  # None until the run has ended
    seconds: float = 0.0  # wall-clock time of all attempts
    exit: int | None = None  # exit status
    said: str = ""  # the last line of a crashed run, or why we stopped it
    verdict: str = ""  # start, kept, even, reverted; '' for a probe
    attempts: int = 0  # how often it was started


@dataclass(slots=True)
class Ledger:
    """An open Ledger: one loop writes, any number of readers read."""

    path: Path
    base: sqlite3.Connection = field(repr=False)

    @classmethod
    def open(cls, folder: Path, readonly: bool = False) -> Ledger:
        """Open the Ledger of a session's folder; create it unless ``readonly``.

        AdvisorError where the file is missing or is not a ledger.
        """
        path = folder / NAME
        try:
            if readonly:
                base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            else:
                base = sqlite3.connect(path, isolation_level=None)
                base.execute("PRAGMA journal_mode=WAL")
                base.execute("PRAGMA synchronous=FULL")
                base.executescript(_TABLES)
            base.execute("SELECT count(*) FROM runs").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise AdvisorError(f"{path}: not a readable ledger ({error})") from None
        return cls(path, base)

    def close(self) -> None:
        self.base.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction, on the disk (synchronous=FULL) when the block ends."""
        try:
            self.base.execute("BEGIN IMMEDIATE")
            yield self.base
            self.base.execute("COMMIT")
        except sqlite3.Error as error:
            if self.base.in_transaction:
                self.base.execute("ROLLBACK")
            raise AdvisorError(f"{self.path}: cannot be written ({error})") from None

    def _rows(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        try:
            return self.base.execute(query, given).fetchall()
        except sqlite3.Error as error:
            raise AdvisorError(f"{self.path}: cannot be read ({error})") from None

    def state(self, key: str, default: Any = None) -> Any:
        """Return the session's value under a key, ``default`` where there is none."""
        rows = self._rows("SELECT value FROM session WHERE key = ?", key)
        try:
            return json.loads(rows[0][0]) if rows else default
        except (ValueError, TypeError, RecursionError) as error:
            raise AdvisorError(f"{self.path}: {key} cannot be read ({error})") from None

    def note(self, **values: object) -> None:
        """Store values of the session under their names, secrets hidden."""
        with self._transaction() as base:
            for key, value in values.items():
                base.execute(
                    "INSERT INTO session VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value=?2",
                    (key, to_json(redact_value("", value))),
                )

    def plan(self, plans: Sequence[TrialPlan]) -> None:
        """Add the rows of planned runs."""
        with self._transaction() as base:
            for each in plans:
                base.execute(
                    'INSERT INTO runs (number, state, kind, max_steps, "values", changes, config,'
                    " diff, reason, because, folder, planned)"
                    " VALUES (?, 'planned', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        each.number, each.kind, each.max_steps, to_json(dict(each.values)),
                        to_json(each.changes), redact_text(each.config), redact_text(each.diff),
                        redact_text(each.reason),
                        to_json(each.because), each.folder, time.time(),
                    ),
                )  # fmt: skip

    def begin(self, number: int) -> None:
        """Mark a run as running, and count the attempt."""
        with self._transaction() as base:
            base.execute(
                "UPDATE runs SET state = 'running', attempts = attempts + 1 WHERE number = ?",
                (number,),
            )

    def finish(self, entry: Entry) -> None:
        """Write a run's result; a second call for the same run changes nothing."""
        assert entry.trial is not None
        with self._transaction() as base:
            base.execute(
                'UPDATE runs SET state = \'done\', "values" = ?, ended = ?, seconds = ?, exit = ?,'
                " said = ?, verdict = ?, outcome = ? WHERE number = ? AND state != 'done'",
                (
                    to_json(dict(entry.trial.values)), time.time(), entry.seconds, entry.exit,
                    redact_text(entry.said), entry.verdict, to_row(entry.trial), entry.plan.number,
                ),
            )  # fmt: skip

    def entries(self) -> list[Entry]:
        """Return all runs by number; AdvisorError where a row is not one that tune wrote."""
        found = self._rows(
            'SELECT number, kind, "values", changes, config, diff, folder, max_steps, reason,'
            " because, state, outcome, seconds, exit, said, verdict, attempts"
            " FROM runs ORDER BY number"
        )
        try:
            return [_entry(row) for row in found]
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise AdvisorError(
                f"{self.path}: a row that tune did not write ({error}); begin another --session"
            ) from None

    def trials(self) -> list[Trial]:
        """Return the results of the runs that have ended, by number."""
        return [entry.trial for entry in self.entries() if entry.trial is not None]

    def test_losses(self, number: int) -> Any:
        """Return the losses of a run's best checkpoint on the held-out rows, None if not measured.

        An object of lists, one item a sample: ``losses`` (summed nats), ``tokens_of``, ``test``.
        """
        rows = self._rows("SELECT found FROM tests WHERE number = ?", number)
        return json.loads(rows[0][0]) if rows else None

    def note_test(self, number: int, found: Mapping[str, object]) -> None:
        """Store the losses that ``test_losses`` returns."""
        with self._transaction() as base:
            base.execute(
                "INSERT OR REPLACE INTO tests VALUES (?, ?)", (number, to_json(dict(found)))
            )


def _entry(row: tuple[Any, ...]) -> Entry:
    said = check_row(row)
    plan = TrialPlan(
        said.number, said.kind, said.values, tuple(map(to_change, said.changes)), said.config,
        said.diff, said.folder, said.max_steps, said.reason, tuple(said.because),
    )  # fmt: skip
    trial = None
    if said.outcome:
        trial = from_row(said.outcome, said.number, said.kind, said.values, said.reason)
    return Entry(
        plan, said.state, trial, said.seconds or 0.0, said.exit, said.said or "",
        said.verdict or "", said.attempts,
    )  # fmt: skip
