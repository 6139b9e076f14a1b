"""`advise compare`: runs side by side, and the one to go on with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from advisor.cli import options as given
from advisor.cli.check import console, make_request, print_json
from advisor.compare.runs import Comparison
from advisor.compare.runs import compare as compare_runs
from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES
from advisor.pipeline import Failure, Request, fault_of_ours, load_runs, severity_of
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Run
from advisor.settings import Settings, find_settings

FORMATS = ("text", "json")


def compare(
    paths: given.Paths,
    output_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text or json.")
    ] = "text",
    fail_on: given.FailOnOption = "",
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 although findings stand.")
    ] = False,
    set_facts: given.SetOption = [],  # noqa: B006  (typer copies it)
    map_columns: given.MapOption = [],  # noqa: B006
    steps: given.StepsOption = "",
) -> None:
    """Compare runs: validation loss at the same steps, what differs, and which to pick.

    A folder that holds several runs gives them all. Exit status: 1 where the seeds differ or the
    data do (see --fail-on), 2 where a path cannot be read or fewer than two runs are found.

    Example: advise compare runs/lr-1e-5 runs/lr-5e-5 runs/lr-2e-4
    """
    if output_format not in FORMATS:
        raise AdvisorError(f"--format {output_format}: give one of {', '.join(FORMATS)}")
    settings = Settings()
    failures: list[Failure] = []
    comparison = None
    limit = fail_on
    try:
        settings = find_settings(Path.cwd())
        limit = fail_on or settings.fail_on
        if limit != "never":
            severity_of(limit, "--fail-on")
        wanted = given.Given(facts=set_facts, map_columns=map_columns, steps=steps)
        rulebook = load_rules(settings.rules)
        runs, failures = read_all(paths, make_request(wanted, settings, rulebook))
        if len(runs) < 2:
            failures.append(_too_few(paths, runs))
        else:
            comparison = _compare(runs, rulebook)
    except AdvisorError as error:
        if output_format != "json":
            raise
        failures.append(Failure(str(paths[0]), str(error)))
    _show(comparison, failures, output_format)
    code = _status(comparison, failures, limit)
    raise typer.Exit(0 if code == 1 and (exit_zero or settings.exit_zero) else code)


def read_all(paths: Sequence[Path], request: Request) -> tuple[list[Run], list[Failure]]:
    """Return the runs below all paths, each once, and what could not be read."""
    runs: dict[tuple[Path, str], Run] = {}
    failures: list[Failure] = []
    for path in paths:
        try:
            for run in load_runs(path, request):
                runs.setdefault((Path(run.path).resolve(), run.id), run)
        except AdvisorError as error:
            failures.append(Failure(str(path), str(error)))
        except Exception as error:  # an error in one run must not lose the others
            failures.append(Failure(str(path), f"{path}: {fault_of_ours(error)}"))
    return list(runs.values()), failures


def _compare(runs: Sequence[Run], rulebook: Rulebook) -> Comparison:
    try:
        return compare_runs(runs, rulebook)
    except AdvisorError:
        raise
    except Exception as error:
        if os.environ.get("ADVISE_DEBUG"):
            raise
        raise AdvisorError(fault_of_ours(error)) from error


def _too_few(paths: Sequence[Path], runs: Sequence[Run]) -> Failure:
    found = "one run" if runs else "no run"
    return Failure(str(paths[0]), f"{found} found; give two runs or more, or a folder of them")


def _show(comparison: Comparison | None, failures: Sequence[Failure], output_format: str) -> None:
    from advisor.report import compare as drawn

    if output_format == "json":
        print_json(drawn.to_json(comparison, failures))
    elif comparison is None:
        raise AdvisorError("\n".join(failure.message for failure in failures))
    else:
        drawn.show(console(), comparison, failures)


def _status(comparison: Comparison | None, failures: Sequence[Failure], limit: str) -> int:
    """Return 1 if a finding is at or above the limit, 2 if something was not read or is too
    little."""
    if comparison is not None and limit != "never":
        floor = SEVERITIES.index(severity_of(limit, "--fail-on"))
        worst = [SEVERITIES.index(finding.severity) for finding in comparison.findings]
        worst += [SEVERITIES.index("warning")] if comparison.void else []
        if any(severity >= floor for severity in worst):
            return 1
    return 2 if failures or comparison is None else 0
