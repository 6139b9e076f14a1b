"""The `advise` command: one module a command, and the only place that prints."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from advisor.cli.group import COMMANDS, PathOrCommand, command_of
from advisor.errors import AdvisorError
from advisor.version import __version__

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
    """Run the command; whatever a user got wrong is one line and status 2."""
    _print_anything()
    try:
        words = sys.argv[1:]
        only = None if "_ADVISE_COMPLETE" in os.environ else command_of(words)
        make_app([only] if only else COMMANDS)()
    except AdvisorError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("advise: stopped\n")
        raise SystemExit(130) from None
    except BrokenPipeError:  # `advise ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:  # no traceback reaches a user, whichever command it is
        if os.environ.get("ADVISE_DEBUG"):
            raise
        from advisor.pipeline import fault_of_ours

        fail(fault_of_ours(error))


def _print_anything() -> None:
    """A terminal or a pipe that is not UTF-8 gets escapes for what it lacks, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fail(message: str) -> None:
    from advisor.report.escaping import clean

    for line in message.splitlines():
        sys.stderr.write(f"advise: {clean(line)}\n")
    raise SystemExit(2)
