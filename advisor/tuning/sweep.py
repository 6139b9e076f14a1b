"""Short runs that differ only in the learning rate, each in its own folder; and the range test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.base.median import median
from advisor.base.numbers import is_number, number
from advisor.base.redact import redact_text
from advisor.errors import AdvisorError, EditError
from advisor.run import Run
from advisor.signals.robust import running_median
from advisor.tuning.driver import Driver, Length
from advisor.tuning.launch import Job, Launcher, Running, read_exit, settle
from advisor.tuning.ledger import TrialPlan
from advisor.tuning.reading import OUTPUT, TrialReader, find_last_line, read_console_tail
from advisor.tuning.session import config_of, hide_secrets, write_config
from advisor.tuning.space import LR
from advisor.tuning.trial import TrialChange
from advisor.tuning.writing import Start, write_values

STEPS, EVERY = "step_scheduler.max_steps", "step_scheduler.val_every_steps"
AROUND = (-1.0, -0.5, 0.0, 0.5, 1.0)  # decades from the config's own rate
LOOKS = 5  # evaluations of a short run, enough to compare its curve
RAMP = 1000.0  # the highest rate of a range test over its lowest
RISES = 4.0  # the rate is too high once the smoothed loss is this many noises above its lowest
_PAUSE = 0.1  # seconds between two polls of the runs


@dataclass(frozen=True, slots=True)
class Shot:
    """One short run of a sweep."""

    rate: float  # peak learning rate
    folder: Path
    number: int = 1  # in the sweep, from 1, the lowest rate
    run: Run | None = None  # what it logged
    said: str = ""  # why there is no log


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts and settings of a sweep."""

    folder: Path
    start: Start
    driver: Driver
    launcher: Launcher
    reader: TrialReader
    parallel: int = 1  # runs at the same time
    say: Callable[[str], None] = lambda line: None


def parse_rates(text: str) -> list[float]:
    """Return the rates of a list such as '1e-6,1e-5', sorted and without duplicates.

    AdvisorError for fewer than two rates, or one that is not a number above 0.
    """
    found = set()
    for word in text.split(","):
        try:
            rate = float(word)
        except ValueError:
            raise AdvisorError(f"--lr {text}: {word!r} is not a number; give 1e-6,1e-5") from None
        if not math.isfinite(rate) or rate <= 0:
            raise AdvisorError(f"--lr {text}: {word} is not a learning rate; give numbers above 0")
        found.add(rate)
    if len(found) < 2:
        raise AdvisorError(f"--lr {text}: give at least two rates, such as 1e-6,1e-5")
    return sorted(found)


def list_rates_around(start: Start) -> list[float]:
    """Return five rates half a decade apart, the config's own in the middle.

    AdvisorError where the config has no rate.
    """
    own = start.config.values.get(LR)
    if not is_number(own) or number(own) <= 0:
        raise AdvisorError(f"{start.path}: has no learning rate to start from; give --lr 1e-6,1e-5")
    return [number(own) if not away else _round_rate(number(own) * 10**away) for away in AROUND]


def _round_rate(rate: float) -> float:
    return float(f"{rate:.1e}")


def name_of(rate: float) -> str:
    """Return the folder name of a rate, as ``lr-1e-05``."""
    return f"lr-{rate:.4g}"


def run_sweep(bench: Bench, rates: Sequence[float], steps: int) -> list[Shot]:
    """Run every rate that was not run before for ``steps`` steps; return all in their order."""
    shots = [Shot(r, bench.folder / name_of(r), i) for i, r in enumerate(rates, 1)]
    waiting, active = list(shots), list[Running]()
    try:
        while waiting or active:
            while waiting and len(active) < bench.parallel:
                shot = waiting.pop(0)
                running = start_shot(bench, shot, make_short(shot.rate, steps))
                active += [] if running is None else [running]
            time.sleep(_PAUSE if active else 0.0)
            active = [each for each in active if not each.poll()]
    except BaseException:
        for each in active:
            each.pause()
        raise
    return [read_shot(bench, shot) for shot in shots]


def make_short(rate: float, steps: int) -> list[TrialChange]:
    """Return the changes that turn a config into a short run with a few evaluations."""
    every = max(1, steps // LOOKS)
    return [TrialChange(LR, "set", None, rate), TrialChange(STEPS, "set", None, steps),
            TrialChange(EVERY, "set", None, every)]  # fmt: skip


def start_shot(bench: Bench, shot: Shot, changes: Sequence[TrialChange]) -> Running | None:
    """Start a run in its folder; return None where the same config was run there before.

    AdvisorError where another config was.
    """
    text = _write_changes(bench.start, changes)
    settle(shot.folder)
    config = config_of(shot.folder, bench.start.path)
    if config.exists():
        if redact_text(config.read_text(encoding="utf-8")) != redact_text(text):
            raise AdvisorError(f"{shot.folder}: holds a run of another config; give another --out")
        if read_exit(shot.folder) is not None:
            bench.say(f"{shot.folder.name}: already done")
            return None
    shot.folder.mkdir(parents=True, exist_ok=True)
    write_config(config, text, bench.start.path)
    plan = TrialPlan(shot.number, "full", {}, tuple(changes), text, "", str(shot.folder))
    driver = bench.driver
    output = (shot.folder / OUTPUT).resolve()
    bench.say(f"{shot.folder.name}: started")
    words = driver.build_command(plan, config.resolve(), output, Length())
    env = driver.build_environment(plan)
    return bench.launcher.start(Job(shot.folder.resolve(), words, driver.setup.cwd, env))


def _write_changes(start: Start, changes: Sequence[TrialChange]) -> str:
    """Return the config with the changes that its dialect can express.

    EditError where it cannot express the rate or the number of steps.
    """
    kept = []
    for change in changes:
        try:
            write_values(start, [change])
        except EditError:
            if change.key in (LR, STEPS):
                raise
            continue  # then the trainer decides how often to evaluate
        kept.append(change)
    return write_values(start, kept)[0]


def read_shot(bench: Bench, shot: Shot) -> Shot:
    """Return the shot with its log, or with the reason why it has none."""
    found = read_exit(shot.folder)
    hide_secrets(config_of(shot.folder, bench.start.path))
    try:
        run = bench.reader.read(shot.folder, config_of(shot.folder, bench.start.path))
    except AdvisorError as error:
        return replace(shot, said=str(error))
    if run is None:
        status = "" if found is None else f"exit status {found.status}: "
        return replace(shot, said=f"{status}{find_last_line(read_console_tail(shot.folder))}")
    return replace(shot, run=run)


@dataclass(frozen=True, slots=True)
class RateRange:
    """The result of a learning-rate range test (Smith 2017, arXiv:1506.01186)."""

    lowest: float  # the rate at the lowest smoothed loss
    rises: float | None  # the rate from which on the loss rises; None: it never did

    @property
    def wanted(self) -> list[float]:
        """Rates for a sweep, 0.5 to 2 decades below the lowest, which is close to instability."""
        return [_round_rate(self.lowest * 10**away) for away in (-2.0, -1.5, -1.0, -0.5)]


def make_ramp(high: float, steps: int) -> list[TrialChange]:
    """Return the changes for a range test: the rate grows from ``high / RAMP`` to ``high``.

    A linear warm-up over all ``steps``: every step has a higher rate than the one before.
    """
    keys = {
        LR: high, STEPS: steps, "lr_scheduler.lr_decay_style": "constant",
        "lr_scheduler.lr_warmup_steps": steps, "lr_scheduler.lr_decay_steps": steps + 1,
        "lr_scheduler.init_lr": high / RAMP,
    }  # fmt: skip
    return [TrialChange(key, "set", None, value) for key, value in keys.items()]


def read_range(run: Run) -> RateRange:
    """Return the result of a range test from its training losses and rates.

    AdvisorError for fewer than ten losses with rates, or fewer than five finite ones.
    """
    loss, rate = run.series.get("train/loss"), run.series.get("train/lr")
    if loss is None or rate is None or len(loss) < 10:
        raise AdvisorError(f"{run.path}: needs at least ten losses and rates; give more --steps")
    _, at, to = np.intersect1d(loss.steps, rate.steps, return_indices=True)
    values, rates = loss.values[at], rate.values[to]
    finite = np.isfinite(values)
    end = int(np.argmin(finite)) if not finite.all() else values.size
    if end < 5:
        raise AdvisorError(f"{run.path}: the loss was not finite from the start; lower --lr")
    smooth = running_median(values[:end], max(3, end // 10))
    low = int(np.argmin(smooth))
    noise = median(np.abs(np.diff(values[: low + 1]))) / math.sqrt(2) if low > 2 else 0.0
    above = np.flatnonzero(smooth[low:] > smooth[low] + RISES * max(noise, 1e-12))
    rises = float(rates[low + above[0]]) if above.size else None
    if rises is None and end < values.size:
        rises = float(rates[end])
    return RateRange(float(rates[low]), rises)
