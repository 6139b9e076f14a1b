"""`advise report`: a tuning session, or runs, as text and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advisor.base.atomic import write_atomic
from advisor.cli import options as given
from advisor.cli.check import Answer, console, make_request, print_json, show
from advisor.errors import AdvisorError
from advisor.pipeline import check_paths
from advisor.report.contract import strict
from advisor.rulebook.load import load_rules
from advisor.settings import find_settings
from advisor.tuning.account import Account, best_config, format_json, read_account
from advisor.tuning.session import is_session


def report(
    paths: given.Paths,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one page of HTML too.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write a session's best config."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the files of --html and --export.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report on a tuning session (a folder with its ledger) or on runs.

    Of a session: what was tried and why, the curves over each other, the change from the start to
    the best config, the gain with its uncertainty, the cost, and what was left untried.

    \b
    Example: advise report tune-my --html report.html --export best.yaml
             advise report outputs/run-7 --html run-7.html
    """
    sessions = [path for path in paths if is_session(path)]
    if sessions and len(paths) > 1:
        raise AdvisorError(f"{sessions[0]}: a session; give it alone")
    if sessions:
        _session(read_account(sessions[0]), html, export, force, as_json)
        return
    if export is not None:
        raise AdvisorError(f"--export: {paths[0]} holds no session; `advise fix` writes a plan")
    _runs(paths, html, force, as_json)


def _session(
    account: Account, html: Path | None, export: Path | None, force: bool, as_json: bool
) -> None:
    from advisor.report.session_html import to_html
    from advisor.report.session_text import show_session

    if as_json:
        print_json(format_json(strict(account.as_dict())))
    else:
        show_session(console(), account)
    if html is not None:
        _write(html, to_html(account), force, "--html")
    if export is not None:
        if account.outcome is None:
            raise AdvisorError(f"{account.folder}: its session has not ended; go on with --resume")
        _write(export, best_config(account), force, "--export")


def _runs(paths: list[Path], html: Path | None, force: bool, as_json: bool) -> None:
    from advisor.report.runs_html import to_html

    settings = find_settings(Path.cwd())
    rulebook = load_rules(settings.rules)
    request = make_request(given.Given(), settings, rulebook)
    reports, failures = check_paths(paths, rulebook, request)
    show(Answer(reports, failures), "json" if as_json else "text", True)
    if html is not None and reports:
        _write(html, to_html(reports), force, "--html")
    if failures and not reports:
        raise typer.Exit(2)


def _write(place: Path, text: str, force: bool, option: str) -> None:
    try:
        write_atomic(place, text, fresh=not force)
    except FileExistsError:
        raise AdvisorError(f"{option} {place}: exists already; --force overwrites it") from None
    except OSError as error:
        raise AdvisorError(f"{option} {place}: cannot be written ({error.strerror})") from None
