"""`advise check`: diagnose runs and say what to change."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor import pipeline
from advisor.cli import options as given
from advisor.compare.baseline import write_baseline
from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES, Report, Written
from advisor.pipeline import Failure, Request, check_paths, severity_of
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.settings import Settings, find_settings

if TYPE_CHECKING:
    from rich.console import Console


FORMATS = ("text", "json", "github")


@dataclass(frozen=True, slots=True)
class Answer:
    """The findings of a check, and the limit for the exit status."""

    reports: Sequence[Report]
    failures: Sequence[Failure]
    fail_on: str = "warning"
    outcomes: Mapping[int, Written] = field(default_factory=dict)  # by id() of the Report

    @property
    def status(self) -> int:
        """1: a finding is at or above the limit; 2: something was not read or judged.

        Findings of an earlier run in the folder of a newer one do not count.
        """
        if self.fail_on != "never":
            floor = SEVERITIES.index(severity_of(self.fail_on, "--fail-on"))
            reports = [r for r in self.reports if not r.run.facts.get("leftover")]
            worst = [SEVERITIES.index(f.severity) for r in reports for f in r.findings]
            if any(severity >= floor for severity in worst):
                return 1
        unjudged = any(report.status == "unknown" for report in self.reports)
        return 2 if self.failures or unjudged else 0


def check(
    paths: given.Paths,
    output_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, json or github.")
    ] = "text",
    select: given.SelectOption = "",
    ignore: given.IgnoreOption = "",
    severity: given.SeverityOption = "",
    fail_on: given.FailOnOption = "",
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 although findings stand.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the safe edits to a copy of the config.")
    ] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With --fix: the edits for review too.")
    ] = False,
    out: given.OutOption = None,
    in_place: given.InPlaceOption = False,
    config: given.ConfigOption = None,
    set_facts: given.SetOption = [],  # noqa: B006  (typer copies it)
    map_columns: given.MapOption = [],  # noqa: B006
    steps: given.StepsOption = "",
    rules: given.RulesOption = [],  # noqa: B006
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="Leave out what this accepts.")
    ] = None,
    write_to: Annotated[
        Path | None,
        typer.Option("--write-baseline", metavar="FILE", help="Accept all that is found now."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="All details, and what was not judged.")
    ] = False,
) -> None:
    """Diagnose every run below PATH: what is wrong, the evidence, the change to the config.

    Exit status: 1 where a finding stands (see --fail-on), 2 where something could not be read
    or judged, 0 otherwise.

    Example: advise check outputs/run-7 --set data.samples=5000
    """
    if output_format not in FORMATS:
        raise AdvisorError(f"--format {output_format}: give one of {', '.join(FORMATS)}")
    settings = Settings()
    try:
        settings = find_settings(Path.cwd())
        wanted = given.Given(
            select, ignore, severity, config, set_facts, map_columns, steps, rules, baseline
        )
        limit = fail_on or settings.fail_on
        if limit != "never":
            severity_of(limit, "--fail-on")
        rulebook = load_rules([*settings.rules, *rules])
        request = make_request(wanted, settings, rulebook)
        answer = Answer(*judge(paths, rulebook, request, output_format), limit)
        if write_to is not None:
            _accept(write_to, answer.reports)
        if fix or unsafe_fixes:
            kinds = ("safe", "review") if unsafe_fixes else ("safe",)
            answer = write_fixes(answer, kinds, out, in_place)
    except AdvisorError as error:
        if output_format != "json":
            raise
        answer = Answer((), [Failure(str(paths[0]), str(error))])
    show(answer, output_format, verbose)
    code = answer.status
    raise typer.Exit(0 if code == 1 and (exit_zero or settings.exit_zero) else code)


def write_fixes(answer: Answer, kinds: Sequence[str], out: Path | None, in_place: bool) -> Answer:
    """Write each run's Plan into its config; what cannot be written becomes a Failure."""
    from advisor.compare.writing import write_plan

    fixable = [r for r in answer.reports if r.run.config.path and r.plan.edits]
    failures = list(answer.failures)
    if out is not None and len(fixable) > 1:
        raise AdvisorError(
            f"-o {out}: {len(fixable)} runs have edits; check one run, or leave -o out"
        )
    outcomes: dict[int, Written] = {}
    taken: dict[str, str] = {}
    for report in fixable:
        path = str(report.run.config.path)
        if path in taken:
            why = f"{path}: is the config of {taken[path]} too; fix one run at a time"
            failures.append(Failure(report.run.path, why))
            continue
        taken[path] = report.run.path
        try:
            outcomes[id(report)] = write_plan(report, report.plan, out, in_place, kinds)
        except AdvisorError as error:
            failures.append(Failure(report.run.path, str(error)))
    return replace(answer, failures=failures, outcomes=outcomes)


def make_request(wanted: given.Given, settings: Settings, rulebook: Rulebook) -> Request:
    """Return the Request of a command line over the project's settings."""
    return pipeline.make_request(
        settings,
        rulebook,
        options=given.read_options(wanted.map_columns, wanted.steps),
        facts=given.pairs(wanted.facts, "--set"),
        config=wanted.config,
        select=given.codes(wanted.select),
        ignore=given.codes(wanted.ignore),
        severity=wanted.severity,
        baseline=wanted.baseline,
    )


def judge(
    paths: Sequence[Path], rulebook: Rulebook, request: Request, output_format: str = "text"
) -> tuple[list[Report], list[Failure]]:
    """Check the paths, with a progress display on a terminal."""
    if output_format != "text" or not sys.stderr.isatty():
        return check_paths(paths, rulebook, request)
    from rich.console import Console

    with Console(stderr=True).status("reading"):
        return check_paths(paths, rulebook, request)


def _accept(place: Path, reports: Sequence[Report]) -> None:
    count = write_baseline(place, reports)
    sys.stderr.write(f"advise: {count} findings accepted in {place}\n")


def show(answer: Answer, output_format: str, verbose: bool) -> None:
    """Print an Answer in one of the formats."""
    if output_format == "json":
        from advisor.report.contract import to_json

        print_json(to_json(answer.reports, answer.failures, answer.outcomes))
    elif output_format == "github":
        from advisor.report.github import lines

        for line in lines(answer.reports, answer.failures):
            print(line)
    else:
        from advisor.report.text import show_reports

        show_reports(console(), answer.reports, answer.failures, verbose, answer.outcomes)


def print_json(text: str) -> None:
    """Print JSON in UTF-8, whatever the terminal's encoding: it is for programs."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.buffer.flush()


def console() -> Console:
    """Return a rich console; a pipe gets plain text of a readable width."""
    from rich.console import Console

    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return Console(highlight=False)
    return Console(highlight=False, width=120)
