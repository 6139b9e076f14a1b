"""`advise sweep`: short runs that differ in the learning rate alone, side by side."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from advisor.base.atomic import write_atomic
from advisor.cli import options as given
from advisor.cli.check import console, print_json
from advisor.cli.tune import prepare, reader_of
from advisor.compare.runs import Comparison, compare
from advisor.errors import AdvisorError
from advisor.pipeline import Failure
from advisor.report import compare as drawn
from advisor.report.escaping import clean
from advisor.report.sweep import ends_of, show_picture, to_html
from advisor.tuning.driver import Driver, check_launcher
from advisor.tuning.launch import Local
from advisor.tuning.sweep import (
    Bench,
    Shot,
    list_rates_around,
    make_ramp,
    parse_rates,
    read_range,
    read_shot,
    run_sweep,
    start_shot,
)
from advisor.tuning.writing import read_start

STEPS = 100


def sweep(
    config: Annotated[Path, typer.Argument(help="Your config, or the name of a preset.")],
    lr: Annotated[
        str, typer.Option("--lr", metavar="RATES", help="As 1e-6,1e-5; default five around yours.")
    ] = "",
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=10, help="Steps of each run.")
    ] = STEPS,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the runs go; default sweep-CONFIG."),
    ] = None,
    parallel: given.ParallelOption = 1,
    range_test: Annotated[
        bool, typer.Option("--range-test", help="First one run in which the rate grows.")
    ] = False,
    command: given.CommandOption = "",
    set_values: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Change the config for all runs."),
    ] = [],  # noqa: B006  (typer copies it)
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare learning rates by short runs of your config, each in a folder of its own.

    Without --lr five rates, half a decade apart, around the one in your config; with --range-test
    they are chosen by one run in which the rate grows from step to step. Runs that are there
    already are not run again. In W&B the runs are one group.

    \b
    Example: advise sweep my.yaml --lr 1e-6,1e-5,5e-5
             advise sweep my.yaml --range-test --steps 200
    """
    setup, text = prepare(config, command, "local", check_launcher("local", ()), set_values)
    if range_test and command:
        raise AdvisorError("--range-test: needs our trainer's schedule; give --lr with --command")
    start = read_start(setup.config, text)
    folder = out or Path(f"sweep-{setup.config.stem}")
    driver = Driver(setup, start, folder.resolve().name)
    bench = Bench(folder, start, driver, Local(), reader_of(), parallel, _say)
    rates = parse_rates(lr) if lr else [] if range_test else list_rates_around(start)
    if range_test:
        rates = _range_test(bench, rates, steps)
    shots = run_sweep(bench, rates, steps)
    _show(config, bench, shots, as_json)


def _say(line: str) -> None:
    sys.stderr.write(f"{clean(line)}\n")
    sys.stderr.flush()


def _range_test(bench: Bench, rates: list[float], steps: int) -> list[float]:
    """Run the range test up to the highest rate given, or 100 times the config's own."""
    high = rates[-1] if rates else 10 * list_rates_around(bench.start)[-1]
    shot = Shot(high, bench.folder / "range-test", 0)
    running = start_shot(bench, shot, make_ramp(high, steps))
    try:
        while running is not None and not running.poll():
            time.sleep(0.1)
    except BaseException:
        if running is not None:
            running.pause()
        raise
    shot = read_shot(bench, shot)
    if shot.run is None:
        raise AdvisorError(f"the range test gave no log: {shot.said}")
    found = read_range(shot.run)
    above = "" if found.rises is None else f", and it rises from {found.rises:.3g} on"
    _say(f"range test: the loss was lowest at a rate of {found.lowest:.3g}{above}")
    return rates or found.wanted


def _show(config: Path, bench: Bench, shots: list[Shot], as_json: bool) -> None:
    failures = [Failure(str(s.folder), f"{s.folder}: {s.said}") for s in shots if s.run is None]
    runs = [shot.run for shot in shots if shot.run is not None]
    if len(runs) < 2:
        said = "; ".join(failure.message for failure in failures)
        raise AdvisorError(said or "fewer than two runs to compare")
    comparison = compare(runs, bench.reader.rulebook)
    advice = _advice(config, bench, shots, comparison)
    write_atomic(bench.folder / "sweep.html", to_html(shots, comparison, advice))
    if as_json:
        print_json(drawn.to_json(comparison, failures))
        return
    drawn.show(console(), comparison, failures)
    show_picture(console(), shots, comparison)
    typer.echo(f"{advice}\npicture: {bench.folder / 'sweep.html'}")


def _advice(config: Path, bench: Bench, shots: list[Shot], comparison: Comparison) -> str:
    """Return what to do with the pick: train with it, or look further if it is at an end of the
    rates."""
    if comparison.pick.index is None:
        return "no rate is to be picked: see above"
    chosen = [shot for shot in shots if shot.run is not None][comparison.pick.index]
    ends = [rate for rate, _ in ends_of(shots, comparison)]
    if chosen.rate in (min(ends), max(ends)) and len(ends) > 1:
        word, away = ("lower", 0.1) if chosen.rate == min(ends) else ("higher", 10.0)
        more = f"{chosen.rate:.3g},{chosen.rate * away**0.5:.3g},{chosen.rate * away:.3g}"
        return f"the best rate is at the end: a {word} one may be better: --lr {more}"
    if not bench.driver.ours:
        return f"go on with it: a learning rate of {chosen.rate:.3g} in {config}"
    return f"go on with it: advise train {config} --optimizer.lr {chosen.rate:.3g}"
