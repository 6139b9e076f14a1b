"""From a path to Reports: read, attach the config, diagnose, plan. What every command does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from advisor.compare.baseline import Accepted, drop_accepted, read_baseline
from advisor.compare.fixes import judge_followup
from advisor.compare.writing import write_plan_or_refuse
from advisor.config.attach import attach_config
from advisor.diagnosis import diagnose
from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES, Report, Severity
from advisor.plan.make import make_plan
from advisor.readers.discover import read_all, read_runs
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.rulebook.rule import Rulebook
from advisor.rulebook.symptoms import SYMPTOMS
from advisor.run import Run
from advisor.settings import Settings


@dataclass(frozen=True, slots=True)
class Request:
    """The options of a check: reading, facts, and which rules."""

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


def make_request(
    settings: Settings,
    rulebook: Rulebook,
    *,
    options: ReadOptions = DEFAULT,
    facts: Mapping[str, object] | None = None,
    config: Path | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severity: str = "",
    baseline: Path | None = None,
) -> Request:
    """Return the Request for the given options, which override the project's settings."""
    level = severity_of(severity or settings.severity, "--severity")
    place = baseline or settings.baseline
    select = tuple(select) or settings.select
    ignore = (*settings.ignore, *ignore)
    check_codes(select, "--select", rulebook)
    check_codes(ignore, "--ignore", rulebook)
    for codes in settings.per_path_ignores.values():
        check_codes(codes, "per-path-ignores:", rulebook)
    return Request(
        options=replace(options, map={**settings.map, **options.map}),
        facts={**settings.facts, **(facts or {})},
        config=config,
        select=select,
        ignore=ignore,
        severity=level,
        ignored_at=settings.ignored_at,
        baseline=place,
        accepted=read_baseline(place) if place else frozenset(),
    )


def check_codes(words: Sequence[str], option: str, rulebook: Rulebook) -> None:
    """Raise an error for a word that matches no rule: an empty selection would pass for a clean
    run."""
    for word in words:
        if not any(rule.answers_to(word) for rule in rulebook) and word.lower() not in SYMPTOMS:
            known = [text for rule in rulebook for text in (rule.code, rule.name)] + list(SYMPTOMS)
            near = get_close_matches(word.upper(), known, 1, 0.5)
            near = near or get_close_matches(word.lower(), known, 1, 0.5)
            hint = f", did you mean {near[0]}?" if near else "; `advise rules` lists them"
            raise AdvisorError(f"{option} {word}: no rule or symptom of that name{hint}")


def severity_of(text: str, option: str) -> Severity:
    """Return a severity by its name."""
    for known in SEVERITIES:
        if text == known:
            return known
    raise AdvisorError(f"{option} {text}: give one of {', '.join(SEVERITIES)}")


def load_runs(path: Path, request: Request) -> list[Run]:
    """Read the runs of a path, each with its Config."""
    return [with_config(run, request) for run in read_runs(path, request.options)]


def with_config(run: Run, request: Request) -> Run:
    """Return the run with the config that it was trained with."""
    return attach_config(run, Path(run.path), request.facts, request.config)


def judge_run(run: Run, rulebook: Rulebook, request: Request) -> Report:
    """Diagnose one run and plan its next one."""
    ignore = (*request.ignore, *request.ignored_at(Path(run.path)))
    report = diagnose(run, rulebook, request.select, ignore, request.severity)
    if request.baseline is not None:
        report = drop_accepted(report, request.accepted, request.baseline)
    return with_plan(report)


def with_plan(report: Report) -> Report:
    """Return the Report with the Plan that its findings ask for, ready to be written."""
    plan = make_plan(report.findings, report.run.config, report.run)
    return replace(report, plan=replace(plan, writer=partial(write_plan_or_refuse, report)))


def check_paths(
    paths: Sequence[Path], rulebook: Rulebook, request: Request
) -> tuple[list[Report], list[Failure]]:
    """Judge everything below the paths; return Failures for what cannot be read."""
    reports: dict[tuple[Path, str], Report] = {}
    failures: dict[str, Failure] = {}  # by message: a fault of the command line appears once
    for path in paths:
        with catch(path, failures):
            found = read_all(path, request.options)
            for error in found.errors:
                failures.setdefault(str(error), Failure(str(path), str(error)))
            for run in found.runs:
                with catch(run.path, failures):
                    report = judge_run(with_config(run, request), rulebook, request)
                    report = replace(report, followup=judge_followup(report, rulebook))
                    reports.setdefault((Path(run.path).resolve(), run.id), report)
    return list(reports.values()), list(failures.values())


@contextmanager
def catch(path: Path | str, failures: dict[str, Failure]) -> Iterator[None]:
    """Keep an error as a Failure, so that one run's error does not lose the others' reports."""
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
    """Return one line for an unexpected error."""
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"a fault of ours ({what}); ADVISE_DEBUG=1 shows where, please report it"
