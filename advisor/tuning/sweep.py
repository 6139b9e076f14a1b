"""Short runs that differ in the learning rate alone, each in a folder of its own, and the pick."""

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
from advisor.tuning.launch import Job, Launcher, Running, exit_of, settle
from advisor.tuning.ledger import TrialPlan
from advisor.tuning.reading import OUTPUT, TrialReader, console_tail, last_line
from advisor.tuning.session import config_of, hide_secrets, write_config
from advisor.tuning.space import LR
from advisor.tuning.trial import TrialChange
from advisor.tuning.writing import Start, write_values

STEPS, EVERY = "step_scheduler.max_steps", "step_scheduler.val_every_steps"
AROUND = (-1.0, -0.5, 0.0, 0.5, 1.0)  # decades from the config's own rate
LOOKS = 5  # evaluations of a short run, so that its curve can be compared
RAMP = 1000.0  # a range test goes from its highest rate over this to it
RISES = 4.0  # noises of the smoothed loss: from there on the rate is too high
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class Shot:
    """One short run of a sweep: its rate, its folder, and what was read of it."""

    rate: float
    folder: Path
    number: int = 1
    run: Run | None = None
    said: str = ""  # why there is no run


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how the runs of a sweep run."""

    folder: Path
    start: Start
    driver: Driver
    launcher: Launcher
    reader: TrialReader
    parallel: int = 1
    say: Callable[[str], None] = lambda line: None


def rates_of(text: str) -> list[float]:
    """Return the rates of a list as 1e-6,1e-5; each one once, lowest first."""
    found = set()
    for word in text.split(","):
        try:
            rate = float(word)
        except ValueError:
            raise AdvisorError(f"--lr {text}: {word!r} is no number; give 1e-6,1e-5") from None
        if not math.isfinite(rate) or rate <= 0:
            raise AdvisorError(f"--lr {text}: {word} is no learning rate; give numbers above 0")
        found.add(rate)
    if len(found) < 2:
        raise AdvisorError(f"--lr {text}: give two rates or more, as 1e-6,1e-5")
    return sorted(found)


def rates_around(start: Start) -> list[float]:
    """Return five rates half a decade apart, the config's own in their middle."""
    own = start.config.values.get(LR)
    if not is_number(own) or number(own) <= 0:
        raise AdvisorError(
            f"{start.path}: has no learning rate to go out from; give --lr 1e-6,1e-5"
        )
    return [number(own) if not away else _tidy(number(own) * 10**away) for away in AROUND]


def _tidy(rate: float) -> float:
    return float(f"{rate:.1e}")


def name_of(rate: float) -> str:
    return f"lr-{rate:.4g}"


def run_sweep(bench: Bench, rates: Sequence[float], steps: int) -> list[Shot]:
    """Run every rate that was not run already; return all, lowest rate first."""
    shots = [Shot(r, bench.folder / name_of(r), i) for i, r in enumerate(rates, 1)]
    waiting, active = list(shots), list[Running]()
    try:
        while waiting or active:
            while waiting and len(active) < bench.parallel:
                shot = waiting.pop(0)
                running = start_shot(bench, shot, short(shot.rate, steps))
                active += [] if running is None else [running]
            time.sleep(_PAUSE if active else 0.0)
            active = [each for each in active if not each.poll()]
    except BaseException:
        for each in active:
            each.pause()
        raise
    return [read_shot(bench, shot) for shot in shots]


def short(rate: float, steps: int) -> list[TrialChange]:
    """Return the changes that make a short run of a config, evaluated a few times."""
    every = max(1, steps // LOOKS)
    return [TrialChange(LR, "set", None, rate), TrialChange(STEPS, "set", None, steps),
            TrialChange(EVERY, "set", None, every)]  # fmt: skip


def start_shot(bench: Bench, shot: Shot, changes: Sequence[TrialChange]) -> Running | None:
    """Start the run of a folder; None where it has run already, with the same config."""
    text = _written(bench.start, changes)
    settle(shot.folder)
    config = config_of(shot.folder, bench.start.path)
    if config.exists():
        if redact_text(config.read_text(encoding="utf-8")) != redact_text(text):
            raise AdvisorError(f"{shot.folder}: holds a run of another config; give another --out")
        if exit_of(shot.folder) is not None:
            bench.say(f"{shot.folder.name}: was run already")
            return None
    shot.folder.mkdir(parents=True, exist_ok=True)
    write_config(config, text, bench.start.path)
    plan = TrialPlan(shot.number, "full", {}, tuple(changes), text, "", str(shot.folder))
    driver = bench.driver
    output = (shot.folder / OUTPUT).resolve()
    bench.say(f"{shot.folder.name}: runs")
    words = driver.words(plan, config.resolve(), output, Length())
    env = driver.environment(plan)
    return bench.launcher.start(Job(shot.folder.resolve(), words, driver.setup.cwd, env))


def _written(start: Start, changes: Sequence[TrialChange]) -> str:
    """Return the config with the changes that its language has a place for; the rate is a must."""
    kept = []
    for change in changes:
        try:
            write_values(start, [change])
        except EditError:
            if change.key in (LR, STEPS):
                raise
            continue  # how often it is evaluated is the trainer's affair then
        kept.append(change)
    return write_values(start, kept)[0]


def read_shot(bench: Bench, shot: Shot) -> Shot:
    """Return the run as far as it came; what broke it is a result too."""
    found = exit_of(shot.folder)
    hide_secrets(config_of(shot.folder, bench.start.path))
    try:
        run = bench.reader.read(shot.folder, config_of(shot.folder, bench.start.path))
    except AdvisorError as error:
        return replace(shot, said=str(error))
    if run is None:
        status = "" if found is None else f"exit status {found.status}: "
        return replace(shot, said=f"{status}{last_line(console_tail(shot.folder))}")
    return replace(shot, run=run)


@dataclass(frozen=True, slots=True)
class RateRange:
    """What a range test found: where the loss was lowest, and from where on it rises."""

    lowest: float
    rises: float | None

    @property
    def wanted(self) -> list[float]:
        """Return rates for a sweep: well below the lowest, which is near the edge of what holds."""
        return [_tidy(self.lowest * 10**away) for away in (-2.0, -1.5, -1.0, -0.5)]


def ramp(high: float, steps: int) -> list[TrialChange]:
    """Return the changes that make one run in which the rate grows from low to high.

    A warm-up as long as the run: every step has a higher rate than the one before.
    """
    keys = {
        LR: high, STEPS: steps, "lr_scheduler.lr_decay_style": "constant",
        "lr_scheduler.lr_warmup_steps": steps, "lr_scheduler.lr_decay_steps": steps + 1,
        "lr_scheduler.init_lr": high / RAMP,
    }  # fmt: skip
    return [TrialChange(key, "set", None, value) for key, value in keys.items()]


def read_range(run: Run) -> RateRange:
    """Return what the losses over the rates of a range test say."""
    loss, rate = run.series.get("train/loss"), run.series.get("train/lr")
    if loss is None or rate is None or len(loss) < 10:
        raise AdvisorError(f"{run.path}: ten losses and rates are needed; give more --steps")
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
