"""The `advise` command: one module per command, and the only place that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from advisor.base.version import __version__
from advisor.cli import streams
from advisor.cli.group import COMMANDS, PathOrCommand, command_of
from advisor.errors import AdvisorError

_HELP = (
    "Say what is wrong with a fine-tuning run, show the evidence, and change the config.\n\n"
    "`advise PATH` is short for `advise check PATH`."
)


def make_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the program with these commands; each costs the import of its module."""
    app = typer.Typer(
        cls=PathOrCommand,
        name="advise",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        help=_HELP,
    )
    for name in names:
        module = import_module(f"advisor.cli.{name}")
        settings = getattr(module, "SETTINGS", None)
        app.command(name, context_settings=settings)(getattr(module, name))
    app.callback()(_common)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"advise {__version__}")
        raise typer.Exit()


def _common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command; any error of the user is one line and status 2."""
    streams.prepare()
    try:
        _run(sys.argv[1:])
    except AdvisorError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("advise: stopped\n")
        raise SystemExit(130) from None
    except streams.OutputLost as error:
        streams.give_up()
        if error.nobody_reads:  # `advise ... | head`
            raise SystemExit(141) from None
        fail(f"standard output cannot be written ({error})")
    except Exception as error:  # no traceback reaches a user, in any command
        if os.environ.get("ADVISE_DEBUG"):
            raise
        from advisor.pipeline import fault_of_ours

        fail(fault_of_ours(error))


def _run(words: list[str]) -> None:
    only = None if "_ADVISE_COMPLETE" in os.environ else command_of(words)
    try:
        make_app([only] if only else COMMANDS)()
    finally:
        sys.stdout.flush()  # a failure here is reported; at process exit it would not be


def fail(message: str) -> None:
    from advisor.report.escaping import clean

    for line in message.splitlines():
        sys.stderr.write(f"advise: {clean(line)}\n")
    raise SystemExit(2)
