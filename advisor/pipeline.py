"""From a path to Reports: read, attach the config, diagnose, plan. What every command does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from advisor.configs import attach_config
from advisor.diagnose import diagnose
from advisor.discover import read_runs
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A path that could not be read or judged, and why in one line."""

    path: str
    message: str


def load_runs(path: Path, request: Request) -> list[Run]:
    """Read the runs of a path, each with its Config."""
    runs = read_runs(path, request.options)
    return [attach_config(r, Path(r.path), request.facts, request.config) for r in runs]


def judge_run(run: Run, rulebook: Rulebook, request: Request) -> Report:
    """Diagnose one run and plan its next one."""
    report = diagnose(run, rulebook, request.select, request.ignore, request.severity)
    return replace(report, plan=make_plan(report.findings, run.config, run))


def check_paths(
    paths: Sequence[Path], rulebook: Rulebook, request: Request
) -> tuple[list[Report], list[Failure]]:
    """Judge everything below the paths; what cannot be read comes back as Failures."""
    reports: list[Report] = []
    failures: list[Failure] = []
    for path in paths:
        try:
            reports.extend(judge_run(r, rulebook, request) for r in load_runs(path, request))
        except AdvisorError as error:
            failures.append(Failure(str(path), str(error)))
    return reports, failures
