"""The logged past of a run, for a Monitor that starts in the middle of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advisor.errors import AdvisorError
from advisor.readers import event_log
from advisor.readers.discover import read_runs
from advisor.run import Run
from train.advice.messages import KIND
from train.advice.sink import LoggedPast

_MOST = 50_000  # rows; of a longer past the end is taken


def past_of(run_dir: Path, before: int) -> LoggedPast:
    """Return what was logged before a step; nothing if it cannot be read."""
    try:
        runs = read_runs(run_dir)
    except (AdvisorError, OSError):
        return LoggedPast()
    return replace(_past(runs[-1], before), told=_told(run_dir, before)) if runs else LoggedPast()


def _told(run_dir: Path, before: int) -> frozenset[str]:
    """Return the findings that still hold: of steps that were not undone, and of the config."""
    standing: dict[str, int] = {}
    for row in event_log.rows(run_dir / event_log.NAME):
        details, step = row.get("details"), row.get("step")
        if not isinstance(details, Mapping):
            continue
        back = details.get("to_step")
        if row["kind"] == event_log.ROLLBACK and isinstance(back, int):
            standing = {code: at for code, at in standing.items() if at < back}
        elif row["kind"] == KIND:
            code = str(details.get("code"))
            standing.pop(code, None)
            if details.get("change") != "withdrawn":
                # what the config shows holds from the first step on
                of_run = details.get("evidence") or details.get("first_step") is not None
                standing[code] = step if of_run and isinstance(step, int) else -1
    return frozenset(code for code, at in standing.items() if at < before)


def _past(run: Run, before: int) -> LoggedPast:
    rows: dict[int, dict[str, float]] = defaultdict(dict)
    for name, series in run.series.items():
        inside = series.steps < before
        steps, values = series.steps[inside][-_MOST:], series.values[inside][-_MOST:]
        epochs = None if series.epochs is None else series.epochs[inside][-_MOST:]
        for at, (step, value) in enumerate(zip(steps.tolist(), values.tolist(), strict=True)):
            rows[step][name] = value
            if epochs is not None:
                rows[step]["epoch"] = float(epochs[at])
    events = [(e.kind, e.text, e.step) for e in run.events if e.step is None or e.step <= before]
    cuts = {name: run.facts[name] for name in ("lr_cuts",) if name in run.facts}
    return LoggedPast(sorted(rows.items()), events, cuts)
