"""`advise fix`: write a run's plan into its config."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from advisor.cli import options as given
from advisor.cli.check import console, make_request
from advisor.compare.writing import record_change, refuse_if_unwritten, write_plan
from advisor.dialects.words import describe_edit, flag_of, language_of, name_of
from advisor.errors import AdvisorError, EditError
from advisor.findings import Edit, Report
from advisor.pipeline import judge_run, load_runs
from advisor.plan.apply import preview_edits
from advisor.plan.make import is_takeable, plan_snippet, unified_diff
from advisor.rulebook.load import load_rules
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
    rulebook = load_rules([*settings.rules, *rules])
    request = make_request(wanted, settings, rulebook)
    report = _only(path, [judge_run(run, rulebook, request) for run in load_runs(path, request)])
    kinds = ("safe",) if safe else ("safe", "review")
    edits = [e for e in report.plan.edits if e.applies in kinds]
    if not edits:
        typer.echo(f"{path}: nothing to change in a config{_list_leftovers(report)}")
    elif report.run.config.path is None:
        _print_by_hand(path, report, edits, out or in_place)
    elif diff:
        _show_diff(report, kinds)
    else:
        _write(report, kinds, out, in_place)


def _only(path: Path, reports: Sequence[Report]) -> Report:
    now = [report for report in reports if not report.run.facts.get("leftover")]
    reports = now or reports
    if len(reports) == 1:
        return reports[0]
    places = sorted({report.run.path for report in reports})
    if len(places) > 1:
        shown = ", ".join(places[:4]) + (" ..." if len(places) > 4 else "")
        raise AdvisorError(f"{path}: holds {len(places)} runs; give one of them: {shown}")
    raise AdvisorError(f"{path}: holds {len(reports)} runs in one file; give one with --steps A:B")


def _list_leftovers(report: Report) -> str:
    """Return what was left unchanged and why, what waits, and what is for people to do."""
    plan = report.plan
    language = language_of(report.run)
    left = [f"{name_of(e.key, language)}: {e.note}" for e in plan.dropped if e.note]
    later = dict.fromkeys(name_of(e.key, language) for e in plan.later)
    hand = dict.fromkeys(e.note for e in plan.edits if e.applies == "advice" and e.note)
    parts = [
        f"left as it is: {', '.join(left)}" if left else "",
        f"later: {', '.join(later)}" if later else "",
        f"by hand: {' '.join(hand)}" if hand else "",
    ]
    return "".join(f"; {part}" for part in parts if part)


def _print_by_hand(path: Path, report: Report, edits: Sequence[Edit], asked: object) -> None:
    """Print the edits to make by hand where there is no config; raise if none has a value."""
    from advisor.report.escaping import clean

    language = language_of(report.run)
    open_edits = [e for e in edits if not e.resolved]
    ready = [e for e in edits if is_takeable(e)]
    left_out = [note for note in report.run.notes if note.startswith("config")]
    if asked or not ready:
        keys = ", ".join(f"--set {flag_of(e.key, language)}=..." for e in (open_edits or edits))
        why = "; ".join(left_out) or "no config was found beside this log"
        seen = "--config" in why or "never changed" in why
        named = "" if seen else "; name it with --config FILE"
        raise EditError(f"{path}: {why}{named}, or state what the run was trained with: {keys}")
    for note in left_out:
        sys.stderr.write(f"advise: {clean(note)}\n")
    plan = replace(report.plan, edits=tuple(ready))
    snippet = plan_snippet(plan, report.run.config, report.run)
    told = "\n".join(describe_edit(edit) for edit in ready)  # this trainer's names are unknown
    typer.echo(clean(snippet.rstrip("\n") or " ".join(plan.overrides) or told))
    _print_notes(record_change(report, ready, None))
    for edit in open_edits:
        sys.stderr.write(
            f"advise: {describe_edit(edit)}: that is not known,"
            f" give --set {flag_of(edit.key, language)}=...\n"
        )


def _show_diff(report: Report, kinds: Sequence[str]) -> None:
    place = Path(str(report.run.config.path))
    outcome = preview_edits(place, report.plan, report.run.config, kinds)
    change = unified_diff(outcome.old, outcome.new, place)
    typer.echo(change or "", nl=False)
    refuse_if_unwritten(place, outcome, report.run)


def _write(report: Report, kinds: Sequence[str], out: Path | None, in_place: bool) -> None:
    from advisor.report.escaping import clean
    from advisor.report.text import written

    place = Path(str(report.run.config.path))
    outcome = write_plan(report, report.plan, out, in_place, kinds)
    change = unified_diff(outcome.old, outcome.new, place)
    screen = console()
    if change and screen.is_terminal:
        from rich.syntax import Syntax

        screen.print(Syntax(clean(change), "diff", theme="ansi_dark", background_color="default"))
    elif change:
        typer.echo(clean(change), nl=False)
    screen.print(written(outcome), soft_wrap=True)  # a path stays in one piece
    refuse_if_unwritten(place, outcome, report.run)
    _print_notes(outcome.notes)


def _print_notes(notes: Sequence[str]) -> None:
    from advisor.report.escaping import clean

    for line in notes:
        sys.stderr.write(f"advise: {clean(line)}\n")
