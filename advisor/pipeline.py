"""From a path to Reports: read, attach the config, diagnose, plan. What every command does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from advisor.baseline import Accepted, without_accepted
from advisor.configs import attach_config
from advisor.diagnose import diagnose
from advisor.discover import read_all, read_runs
from advisor.errors import AdvisorError
from advisor.findings import Report, Severity
from advisor.plan import make_plan
from advisor.readers.options import ReadOptions
from advisor.rule import Rulebook
from advisor.run import Run


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks of a check: options of reading, facts, and which rules."""

    options: ReadOptions = field(default_factory=ReadOptions)
    facts: Mapping[str, object] = field(default_factory=dict)
    config: Path | None = None
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    severity: Severity = "info"
    ignored_at: Callable[[Path], Sequence[str]] = lambda path: ()
    baseline: Path | None = None
    accepted: frozenset[Accepted] = frozenset()


@dataclass(frozen=True, slots=True)
class Failure:
    """A path that could not be read or judged, and why in one line."""

    path: str
    message: str


def load_runs(path: Path, request: Request) -> list[Run]:
    """Read the runs of a path, each with its Config."""
    return [_with_config(run, request) for run in read_runs(path, request.options)]


def _with_config(run: Run, request: Request) -> Run:
    return attach_config(run, Path(run.path), request.facts, request.config)


def judge_run(run: Run, rulebook: Rulebook, request: Request) -> Report:
    """Diagnose one run and plan its next one."""
    ignore = (*request.ignore, *request.ignored_at(Path(run.path)))
    report = diagnose(run, rulebook, request.select, ignore, request.severity)
    if request.baseline is not None:
        report = without_accepted(report, request.accepted, request.baseline)
    return replace(report, plan=make_plan(report.findings, run.config, run))


def check_paths(
    paths: Sequence[Path], rulebook: Rulebook, request: Request
) -> tuple[list[Report], list[Failure]]:
    """Judge everything below the paths; what cannot be read comes back as Failures."""
    reports: dict[tuple[Path, str], Report] = {}
    failures: list[Failure] = []
    for path in paths:
        try:
            found = read_all(path, request.options)
            failures.extend(Failure(str(path), str(error)) for error in found.errors)
            for report in _judged(found.runs, rulebook, request):
                reports.setdefault((Path(report.run.path).resolve(), report.run.id), report)
        except AdvisorError as error:
            failures.append(Failure(str(path), str(error)))
        except Exception as error:  # one run's fault must not take the others' reports along
            if os.environ.get("ADVISE_DEBUG"):
                raise
            failures.append(Failure(str(path), f"{path}: {fault_of_ours(error)}"))
    return list(reports.values()), failures


def _judged(runs: Iterable[Run], rulebook: Rulebook, request: Request) -> Iterator[Report]:
    for run in runs:
        yield judge_run(_with_config(run, request), rulebook, request)


def fault_of_ours(error: BaseException) -> str:
    """Return one line for an error that should not have happened."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"a fault of ours ({what}); ADVISE_DEBUG=1 shows where, please report it"
