"""Logs as rows, and what a reader makes of the first of them: what a Monitor is held against."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from advisor.config.attach import with_log
from advisor.diagnosis import diagnose
from advisor.errors import AdvisorError
from advisor.findings import Finding
from advisor.monitor import Change, Monitor
from advisor.readers.objective import objective_of
from advisor.readers.options import ReadOptions
from advisor.readers.records import RecordTable
from advisor.readers.table import TableSource, runs_of
from advisor.rulebook.rule import Rulebook
from advisor.run import Config, Event, Run

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT.parent / "shared" / "logs"
Row = Mapping[str, object]


def read_prefix(
    rows: Sequence[Row], events: Sequence[Event] = (), facts: Mapping[str, object] | None = None
) -> Run | None:
    """What a reader makes of rows; None where it sees no run, or several."""
    table = RecordTable()
    table.add_rows([dict(row) for row in rows])
    source = TableSource("", "live", dict(facts or {}), tuple(events))
    try:
        runs = runs_of(table.columns, source, ReadOptions())
    except AdvisorError:
        return None
    if len(runs) != 1:
        return None
    run = runs[0]
    objective = objective_of(run.series)
    if objective and "objective" not in run.facts:
        run = replace(run, facts={**run.facts, "objective": objective})
    return replace(run, config=with_log(Config(), run))


def expected(run: Run, rulebook: Rulebook) -> tuple[Finding, ...]:
    return diagnose(run, rulebook).findings


def feed(monitor: Monitor, row: Row) -> tuple[Change, ...]:
    metrics = {name: value for name, value in row.items() if name not in ("step", "self")}
    return monitor.observe(int(str(row["step"])), **metrics)


def logged_rows() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """The rows of the shared logs that state their steps; nothing where there are none."""
    for path in sorted(LOGS.glob("hf_trainer_state/**/*.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        rows = found.get("log_history") if isinstance(found, dict) else None
        yield path.name, [r for r in rows or () if isinstance(r.get("step"), int)]
    for path in sorted(LOGS.glob("jsonl/**/*.jsonl")):
        rows = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
        yield path.name, rows
