"""`advise fix`: write a run's plan into its config."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from advisor.apply import apply_edits
from advisor.cli import options as given
from advisor.cli.check import console, make_request
from advisor.errors import AdvisorError, EditError
from advisor.findings import Edit, Report
from advisor.pipeline import judge_run, load_runs
from advisor.plan import is_writable, plan_snippet, unified
from advisor.rulebook import load_rules
from advisor.settings import find_settings


def fix(
    path: Annotated[Path, typer.Argument(help="One run: its folder or log.", show_default=False)],
    out: given.OutOption = None,
    in_place: given.InPlaceOption = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print the change and write nothing.")
    ] = False,
    safe: Annotated[
        bool, typer.Option("--safe", help="Only edits that do not change what is learnt.")
    ] = False,
    config: given.ConfigOption = None,
    set_facts: given.SetOption = [],  # noqa: B006  (typer copies it)
    select: given.SelectOption = "",
    ignore: given.IgnoreOption = "",
    map_columns: given.MapOption = [],  # noqa: B006
    steps: given.StepsOption = "",
    rules: given.RulesOption = [],  # noqa: B006
) -> None:
    """Write the change that a run calls for into its config: by default to NAME.next.yaml.

    Where no config is known the change is printed, to be taken over by hand.

    Example: advise fix outputs/run-7 -o config.v2.yaml
    """
    settings = find_settings(Path.cwd())
    wanted = given.Given(select, ignore, "", config, set_facts, map_columns, steps, rules)
    request = make_request(wanted, settings)
    report = _only(
        path,
        [
            judge_run(run, load_rules([*settings.rules, *rules]), request)
            for run in load_runs(path, request)
        ],
    )
    kinds = ("safe",) if safe else ("safe", "review")
    edits = [e for e in report.plan.edits if e.applies in kinds]
    if not edits:
        typer.echo(f"{path}: nothing to change in a config{_advice(report)}")
    elif report.run.config.path is None:
        _print_by_hand(path, report, edits, out or in_place)
    else:
        _write(report, kinds, out, in_place, diff)


def _only(path: Path, reports: Sequence[Report]) -> Report:
    if len(reports) == 1:
        return reports[0]
    places = sorted({report.run.path for report in reports})
    if len(places) > 1:
        shown = ", ".join(places[:4]) + (" ..." if len(places) > 4 else "")
        raise AdvisorError(f"{path}: holds {len(places)} runs; give one of them: {shown}")
    raise AdvisorError(f"{path}: holds {len(reports)} runs in one file; give one with --steps A:B")


def _advice(report: Report) -> str:
    hand = [e.note for e in report.plan.edits if e.applies == "advice" and e.note]
    return "; by hand: " + " ".join(dict.fromkeys(hand)) if hand else ""


def _print_by_hand(path: Path, report: Report, edits: Sequence[Edit], asked: object) -> None:
    """Print what to take over where there is no config; refuse where nothing has a value."""
    open_edits = [e for e in edits if not e.resolved]
    ready = [e for e in edits if is_writable(e)]
    if asked or not ready:
        keys = ", ".join(f"--set {e.key}=..." for e in (open_edits or edits))
        raise EditError(
            f"{path}: no config was found beside this log; name it with --config FILE,"
            f" or state what the run was trained with: {keys}"
        )
    snippet = plan_snippet(report.plan, report.run.config, report.run)
    typer.echo(snippet.rstrip("\n") if snippet else " ".join(report.plan.overrides))
    for edit in open_edits:
        line = (
            f"{edit.key}: {edit.op} {edit.operand}; its value is not known, give --set {edit.key}="
        )
        sys.stderr.write(f"advise: {line}\n")


def _write(
    report: Report, kinds: Sequence[str], out: Path | None, in_place: bool, diff: bool
) -> None:
    from rich.syntax import Syntax

    from advisor.report.text import clean, written

    place = Path(str(report.run.config.path))
    screen = console()
    if diff:
        typer.echo(report.plan.diff or "", nl=False)
        return
    outcome = apply_edits(place, report.plan, report.run.config, out, in_place, kinds)
    change = unified(outcome.old, outcome.new, place)
    if change:
        screen.print(Syntax(clean(change), "diff", theme="ansi_dark", background_color="default"))
    screen.print(written(outcome))
    if not change and not any(a.written for a in outcome.applied):
        unresolved = [a.edit.key for a in outcome.applied if not a.edit.resolved]
        if unresolved:
            keys = ", ".join(f"--set {key}=..." for key in unresolved)
            raise EditError(f"{place}: no edit has a value to start from; give {keys}")
