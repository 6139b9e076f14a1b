"""How soon a fault is told: the first prefix of the run at which a demanded finding stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.runs import Labelled
from benchmarks.accuracy.scores import Pair, near
from benchmarks.scoring import WARNINGS, group

if TYPE_CHECKING:
    from advisor.run import Run


def delays(pairs: Sequence[Pair]) -> dict[str, list[Any]]:
    """By symptom: runs with a known onset, found, and the median delay in logged points."""
    table: dict[str, list[int | None]] = {}
    for run, _ in pairs:
        if run.must and run.onset is not None and run.path.exists():
            table.setdefault(group(run.must[0][0]), []).append(delay(run))
    out: dict[str, list[Any]] = {}
    for name, each in sorted(table.items()):
        found = [d for d in each if d is not None]
        out[name] = [len(each), len(found), median(found) if found else None]
    return out


def delay(labelled: Labelled) -> int | None:
    """Logged points from the onset to the first prefix that says it; None where none does."""
    from advisor.config.attach import attach_config
    from advisor.diagnosis import diagnose
    from advisor.errors import AdvisorError
    from advisor.readers.discover import read_runs
    from advisor.rulebook.load import load_rules

    try:
        run = attach_config(read_runs(labelled.path)[0], labelled.path, {})
    except (AdvisorError, IndexError):
        return None
    wanted, rules = near(labelled.must[0]), load_rules()
    for after, part in prefixes(run, labelled.onset or 0):
        findings = diagnose(part, rules).findings
        if any(group(f.symptom) in wanted and f.severity in WARNINGS for f in findings):
            return after
    return None


def prefixes(run: Run, onset: int) -> Iterator[tuple[int, Run]]:
    """Prefixes that end 0, 1, 2, 4, 6, 9, ... logged points after the onset."""
    from dataclasses import replace

    from advisor.run import Series

    loss = run.series.get("train/loss")
    steps = loss.steps[loss.steps >= onset] if loss is not None else []
    after = 0
    while after < len(steps):
        last = int(steps[after])
        series = {}
        for name, s in run.series.items():
            n = int((s.steps <= last).sum())
            cut = [None if x is None else x[:n] for x in (s.epochs, s.times)]
            if n:
                series[name] = Series(name, s.steps[:n], s.values[:n], *cut, s.native, s.dropped)
        whole = last == int(steps[-1])  # what has no step was written at the end
        events = tuple(e for e in run.events if whole or (e.step is not None and e.step <= last))
        yield after, replace(run, series=series, events=events)
        after = max(after + 1, int(after * 1.5))
