"""The `advise` command: one module a command, and the only place that prints."""

from __future__ import annotations

import os
import sys

import typer

from advisor.cli import check, compare, demo, explain, fix, rules, train
from advisor.cli.group import PathOrCommand
from advisor.errors import AdvisorError
from advisor.version import __version__

app = typer.Typer(
    cls=PathOrCommand,
    name="advise",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help=(
        "Say what is wrong with a fine-tuning run, show the evidence, and change the config.\n\n"
        "`advise PATH` is short for `advise check PATH`."
    ),
)
app.command("check")(check.check)
app.command("fix")(fix.fix)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("rules")(rules.rules)
app.command("demo")(demo.demo)
app.command("train", context_settings=train.SETTINGS)(train.train)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"advise {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command; whatever a user got wrong is one line and status 2."""
    try:
        app()
    except AdvisorError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("advise: stopped\n")
        raise SystemExit(130) from None
    except BrokenPipeError:  # `advise ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def fail(message: str) -> None:
    from advisor.report.text import clean

    for line in message.splitlines():
        sys.stderr.write(f"advise: {clean(line)}\n")
    raise SystemExit(2)
