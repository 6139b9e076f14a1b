"""`advise watch`: follow runs while they train, and say what is new in what is found."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer

from advisor.cli import options as given
from advisor.cli.check import Answer, console, make_request, show
from advisor.errors import AdvisorError
from advisor.monitor.command import OnFinding
from advisor.pipeline import severity_of
from advisor.rulebook.load import load_rules
from advisor.settings import find_settings
from advisor.watch import News, Watcher

WatchedPaths = Annotated[
    list[Path],
    typer.Argument(help="Logs, run folders or patterns; may be yet to come.", show_default=False),
]


class Face(Protocol):
    """A destination of news: a terminal, a pipe, a program."""

    def show(self, news: Sequence[News], watcher: Watcher) -> None: ...


def watch(
    paths: WatchedPaths,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="How often to look.")
    ] = 2.0,
    idle: Annotated[
        float | None,
        typer.Option("--idle", metavar="SECONDS", help="End when nothing has grown for so long."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One look, then the end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line for each change.")
    ] = False,
    on_finding: Annotated[
        str | None,
        typer.Option(
            "--on-finding",
            metavar="CMD",
            help="Run this for each new finding, which it gets as JSON on its standard input.",
        ),
    ] = None,
    select: given.SelectOption = "",
    ignore: given.IgnoreOption = "",
    severity: given.SeverityOption = "",
    fail_on: given.FailOnOption = "",
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 although findings stand.")
    ] = False,
    config: given.ConfigOption = None,
    set_facts: given.SetOption = [],  # noqa: B006  (typer copies it)
    map_columns: given.MapOption = [],  # noqa: B006
    rules: given.RulesOption = [],  # noqa: B006
) -> None:
    """Follow runs while they train: curves, findings with evidence, what to do about them.

    Ends when every run states its end, after --idle, or at Ctrl-C; then the whole report is
    printed. A folder of several runs and a pattern are watched on, for runs still to come.
    Exit status as of check.

    Example: advise watch outputs/run-7 --on-finding "notify-send advise"
    """
    _check_seconds(interval, "--interval", above=0.05)
    if idle is not None:
        _check_seconds(idle, "--idle", above=0.0)
    settings = find_settings(Path.cwd())
    limit = fail_on or settings.fail_on
    if limit != "never":
        severity_of(limit, "--fail-on")
    rulebook = load_rules([*settings.rules, *rules])
    wanted = given.Given(select, ignore, severity, config, set_facts, map_columns, "", rules)
    watcher = Watcher(paths, rulebook, make_request(wanted, settings, rulebook))
    command = None if on_finding is None else OnFinding(on_finding)
    with _stop_on_signal() as stop, _face(as_json, once) as face:
        faces: list[Face] = [face] if command is None else [face, ForEach(command)]
        over = once or _follow(watcher, faces, interval, idle, stop)
        _show_news(faces, watcher.close(over), watcher)
    if command is not None:
        command.close()
    answer = Answer(watcher.reports, watcher.failures, limit)
    if not as_json:
        show(answer, "text", False)
    code = answer.status
    raise typer.Exit(0 if code == 1 and (exit_zero or settings.exit_zero) else code)


def _follow(
    watcher: Watcher,
    faces: Sequence[Face],
    interval: float,
    idle: float | None,
    stop: threading.Event,
) -> bool:
    """Look until no more will come (return True) or the user has stopped it (False)."""
    while not stop.is_set():
        _show_news(faces, watcher.look(), watcher)
        quiet = time.monotonic() - watcher.grown_at
        if (watcher.over and quiet > interval) or (idle is not None and quiet >= idle):
            return True
        stop.wait(interval)
    return False


def _show_news(faces: Sequence[Face], news: Sequence[News], watcher: Watcher) -> None:
    for face in faces:
        face.show(news, watcher)


@contextmanager
def _face(as_json: bool, once: bool) -> Iterator[Face]:
    if as_json:
        yield JsonView()
    elif once:
        yield Silent()
    elif not console().is_terminal:
        yield Lines()
    else:
        from advisor.report.live import LiveView

        with LiveView(console()) as view:
            yield view


class Silent:
    """A single look: the final report says everything."""

    def show(self, news: Sequence[News], watcher: Watcher) -> None:
        del news, watcher


class Lines:
    """A line for each piece of news as it comes."""

    def show(self, news: Sequence[News], watcher: Watcher) -> None:
        del watcher
        from advisor.report.live_lines import text_of

        for item in news:
            if item.kind != "report":  # the full report is printed at the end
                print(text_of(item), flush=True)


class JsonView:
    """One JSON object per line, in UTF-8 whatever the terminal's encoding: it is for programs."""

    def show(self, news: Sequence[News], watcher: Watcher) -> None:
        del watcher
        from advisor.report.live_lines import json_of

        for item in news:
            sys.stdout.buffer.write(json_of(item).encode() + b"\n")
            sys.stdout.buffer.flush()


class ForEach:
    """Passes each newly raised finding to a command."""

    def __init__(self, command: OnFinding) -> None:
        self._command = command

    def show(self, news: Sequence[News], watcher: Watcher) -> None:
        del watcher
        from advisor.report.live_lines import json_of

        for item in news:
            if item.kind == "raised":
                self._command.run(json_of(item))


@contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or a job scheduler's signal sets, so that the current look
    finishes.

    A second signal ends the process at once.
    """
    stop = threading.Event()

    def told(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_seconds(value: float, option: str, above: float) -> None:
    if not above <= value < 1e7:
        raise AdvisorError(f"{option} {value:g}: give seconds, {above:g} or more")
