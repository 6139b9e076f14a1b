"""`advise tune`: run, diagnose, change one thing, run again, keep or revert."""

from __future__ import annotations

import math
import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, cast

import typer

from advisor.base.atomic import write_atomic
from advisor.base.paths import data_dir
from advisor.cli import options as given
from advisor.cli.check import console, make_request, print_json
from advisor.errors import AdvisorError
from advisor.report.contract import strict
from advisor.report.escaping import clean
from advisor.report.session_html import to_html
from advisor.report.session_text import show_session
from advisor.rulebook.load import load_rules
from advisor.settings import find_settings
from advisor.tuning.account import best_config, format_json, read_account
from advisor.tuning.budget import estimate_cost
from advisor.tuning.choice import noise_of
from advisor.tuning.crashes import NoResult
from advisor.tuning.driver import Driver, Length, check_command, check_launcher, count_planned_steps
from advisor.tuning.launch import Launcher, Local
from advisor.tuning.ledger import TrialPlan
from advisor.tuning.loop import Tools, TuningLoop
from advisor.tuning.proof import Proof
from advisor.tuning.reading import TrialReader
from advisor.tuning.session import Session, Setup, begin_session, config_of, resume_session
from advisor.tuning.start import diagnose_config, read_opening
from advisor.tuning.trial import Limits, Strategy
from advisor.tuning.writing import read_start, write_values

RUNS = 6


def tune(
    config: Annotated[
        Path | None, typer.Argument(help="Your config, or the name of a preset.")
    ] = None,
    launcher_args: Annotated[
        list[str] | None,
        typer.Argument(help="After --: words for --launcher torchrun.", show_default=False),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            metavar="N",
            min=1,
            help=f"Whole runs at most; {RUNS} if left out. Probes take half as much.",
        ),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", metavar="N", min=1, help="Tokens of all runs.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", metavar="H", help="Hours of all runs.")
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option("--session", metavar="DIR", help="Where all is kept; default tune-CONFIG."),
    ] = None,
    go_on: Annotated[
        bool, typer.Option("--resume", help="Go on with the session; nothing is run twice.")
    ] = False,
    keep: Annotated[
        str, typer.Option("--keep", metavar="WHAT", help="Checkpoints that stay: all or best.")
    ] = "all",
    parallel: given.ParallelOption = 1,
    command: given.CommandOption = "",
    launcher: Annotated[
        str, typer.Option("--launcher", metavar="HOW", help="local, torchrun or ray.")
    ] = "local",
    set_values: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change the start, as optimizer.lr=1e-5."),
    ] = [],  # noqa: B006  (typer copies it)
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as one JSON object.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run first, and run nothing.")
    ] = False,
) -> None:
    """Tune a config by training: a few runs, each a step of the guide, kept or taken back.

    Your file is never written to. Every run has a folder of its own below --session, with its
    config, diff and log; the best one is compared with the start on rows that no decision
    looked at, and is written to best.yaml there. A session that was cut off goes on with --resume.

    Exit status: 0 with a best config (the start counts where nothing is better), 2 for input that
    cannot work, 1 where no run could be finished.

    \b
    Example: advise tune my.yaml --runs 5
             advise tune my.yaml --command 'my_train --config {config} --output {run_dir}'
             advise tune my.yaml --launcher torchrun -- --nproc-per-node 8
             advise tune --session tune-my --resume
    """
    if keep not in ("all", "best"):
        raise AdvisorError(f"--keep {keep}: give all or best")
    if hours is not None and not 0 < hours < math.inf:
        raise AdvisorError(f"--hours {hours:g}: give a number above 0")
    words = check_launcher(launcher, launcher_args or ())
    if dry_run:
        _dry_run(*prepare(config, command, launcher, words, set_values),
                 Limits(runs or RUNS, tokens, hours))  # fmt: skip
        return
    opened = _open_session(config, session, go_on, (command, launcher, words, set_values))
    try:
        told = _run_loop(opened, _limits(opened, runs, tokens, hours), parallel, keep)
    except NoResult as error:
        opened.ledger.note(failed=str(error))
        sys.stderr.write(f"advise: {clean(str(error))}\n")
        raise typer.Exit(1) from None
    except OSError as error:  # a full disk, a removed folder
        raise AdvisorError(
            f"{error.filename or opened.folder}: {error.strerror}; fix that, then --resume"
        ) from None
    except KeyboardInterrupt:
        sys.stderr.write(f"advise: go on with: advise tune --session {opened.folder} --resume\n")
        raise
    finally:
        opened.close()
    _show(opened.folder, as_json, told)


def _open_session(
    config: Path | None,
    folder: Path | None,
    go_on: bool,
    how: tuple[str, str, tuple[str, ...], list[str]],
) -> Session:
    if go_on:
        place = folder or (Path(f"tune-{config.stem}") if config else None)
        if place is None:
            raise AdvisorError("--resume: give the session's folder: --session DIR")
        if how[3]:
            raise AdvisorError("--resume: --command and --set are those of the session")
        return resume_session(place, _find_config(config) if config else None, how[0])
    setup, text = prepare(config, *how)
    return begin_session(folder or Path(f"tune-{setup.config.stem}"), setup, text)


def prepare(
    config: Path | None,
    command: str,
    launcher: str,
    words: tuple[str, ...],
    changes: list[str],
) -> tuple[Setup, str]:
    if config is None:
        raise AdvisorError("give a config, or --session DIR --resume to go on with a session")
    path = _find_config(config).resolve()
    if command:
        check_command(command)
    elif find_spec("torch") is None:
        raise AdvisorError(
            "training needs torch: pip install 'finetune-advisor[train]', or name another trainer"
            " with --command"
        )
    text, holds_out = read_opening(path, given.pairs(changes, "--set"), ours=not command)
    return Setup(path, Path.cwd(), command, launcher, words, holds_out), text


def _find_config(config: Path) -> Path:
    """Return the config's file; a bare word may name a preset."""
    if config.is_file():
        return config
    preset = data_dir("presets") / f"{config.name.removesuffix('.yaml')}.yaml"
    if config.parent == Path() and preset.is_file():
        return preset
    raise AdvisorError(f"{config}: no such file or preset")


def _limits(opened: Session, runs: int | None, tokens: int | None, hours: float | None) -> Limits:
    """Return the limits of a session: those given now, else those it was started with."""
    before = opened.ledger.state("limits") or (None, None, None)
    limits = Limits(
        runs or before[0] or RUNS,
        before[1] if tokens is None else tokens,
        before[2] if hours is None else hours,
    )
    opened.ledger.note(limits=(limits.runs, limits.tokens, limits.hours))
    return limits


def _run_loop(opened: Session, limits: Limits, parallel: int, keep: str) -> set[int]:
    """Run the session's loop; return the runs that were printed during it."""
    ended = {entry.plan.number for entry in opened.ledger.entries() if entry.trial is not None}
    _say(estimate_cost(limits, count_planned_steps(opened.start.config.values, Length())))
    driver = Driver(opened.setup, opened.start, opened.folder.resolve().name)
    tools = Tools(
        strategy=_strategy(),
        reader=reader_of(),
        driver=driver,
        launcher=_launcher(opened.setup.launcher),
        limits=limits,
        parallel=parallel,
        keep=keep,
        say=_say,
    )
    stopped = TuningLoop(opened, tools).run()
    _say(f"stopped: {stopped}")
    outcome = Proof(opened, driver, _say).prove(stopped, noise_of(opened.ledger.trials()))
    opened.ledger.note(outcome=outcome.as_dict(), failed="")
    return {entry.plan.number for entry in opened.ledger.entries()} - ended


def _say(line: str) -> None:
    sys.stderr.write(f"{clean(line)}\n")
    sys.stderr.flush()


def reader_of() -> TrialReader:
    settings = find_settings(Path.cwd())
    rulebook = load_rules(settings.rules)
    return TrialReader(rulebook, make_request(given.Given(), settings, rulebook))


def _strategy() -> Strategy:
    from advisor.tuning.strategy import next_run as strategy

    return cast(Strategy, strategy)


def _launcher(name: str) -> Launcher:
    if name != "ray":
        return Local()
    from advisor.tuning.on_ray import OnRay

    return OnRay()


def _dry_run(setup: Setup, text: str, limits: Limits) -> None:
    start = read_start(setup.config, text)
    driver = Driver(setup, start, f"tune-{setup.config.stem}")
    place = Path(f"tune-{setup.config.stem}") / "runs/001-start"
    plan = TrialPlan(1, "full", {}, (), text, "", str(place))
    words = driver.build_command(plan, config_of(place, setup.config), place / "run", Length())
    typer.echo(f"run 1 (start): {clean(shlex.join(words))}")
    typer.echo(estimate_cost(limits, count_planned_steps(start.config.values, Length())))
    changes = diagnose_config(start, reader_of())
    if not changes:
        typer.echo("what follows is decided by its log")
        return
    codes = dict.fromkeys(code for change in changes for code in change.because)
    typer.echo(f"by the config alone ({', '.join(codes)}), before its log is seen:")
    typer.echo(clean(write_values(start, changes)[1]), nl=False)


def _show(folder: Path, as_json: bool, told: set[int]) -> None:
    account = read_account(folder)
    place = folder / f"best{account.setup.config.suffix}"
    config = account.setup.config
    write_atomic(place, best_config(account), config if config.exists() else None)
    write_atomic(folder / "report.html", to_html(account))
    if as_json:
        print_json(format_json(strict(account.as_dict())))
        return
    show_session(console(), account, told if _is_one_screen() else ())
    typer.echo(f"best config: {place}\nreport: {folder / 'report.html'}")


def _is_one_screen() -> bool:
    """Return whether progress (standard error) and report go to the same place."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False
