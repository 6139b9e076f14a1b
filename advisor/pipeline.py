"""From a path to Reports: read, attach the config, diagnose, plan. What every command does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from advisor.compare.baseline import Accepted, without_accepted
from advisor.compare.fixes import followup
from advisor.config.attach import attach_config
from advisor.diagnosis import diagnose
from advisor.errors import AdvisorError
from advisor.findings import Report, Severity
from advisor.plan.make import make_plan
from advisor.readers.discover import read_all, read_runs
from advisor.readers.options import ReadOptions
from advisor.rulebook.rule import Rulebook
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
    return [with_config(run, request) for run in read_runs(path, request.options)]


def with_config(run: Run, request: Request) -> Run:
    """Return the run with what it was trained with."""
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
    failures: dict[str, Failure] = {}  # by message: a fault of the command line is said once
    for path in paths:
        with caught(path, failures):
            found = read_all(path, request.options)
            for error in found.errors:
                failures.setdefault(str(error), Failure(str(path), str(error)))
            for run in found.runs:
                with caught(run.path, failures):
                    report = judge_run(with_config(run, request), rulebook, request)
                    report = replace(report, followup=followup(report, rulebook))
                    reports.setdefault((Path(run.path).resolve(), run.id), report)
    return list(reports.values()), list(failures.values())


@contextmanager
def caught(path: Path | str, failures: dict[str, Failure]) -> Iterator[None]:
    """Keep an error as a Failure: one run's must not take the others' reports along."""
    try:
        yield
    except AdvisorError as error:
        failures.setdefault(str(error), Failure(str(path), str(error)))
    except Exception as error:
        if os.environ.get("ADVISE_DEBUG"):
            raise
        message = f"{path}: {fault_of_ours(error)}"
        failures.setdefault(message, Failure(str(path), message))


def fault_of_ours(error: BaseException) -> str:
    """Return one line for an error that should not have happened."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"a fault of ours ({what}); ADVISE_DEBUG=1 shows where, please report it"
