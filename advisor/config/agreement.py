"""Whether a config and a log belong to the same run: compares what both state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from advisor.base.numbers import finite
from advisor.run import Run

_LR, _MAX = "optimizer.lr", "step_scheduler.max_steps"
_EPOCHS, _LOCAL = "step_scheduler.num_epochs", "step_scheduler.local_batch_size"
NEAR = 1.02  # ratio of rates that rounding can explain
FAR = 1.5  # ratio of rates beyond which the config is another run's
_LATE = 0.3  # share of the steps; a log that begins later misses the peak
# Facts that a log states, and the config key of each.
_STATED = (
    ("logging_steps", "logging.every_steps"),
    ("eval_steps", "step_scheduler.val_every_steps"),
    ("save_steps", "step_scheduler.ckpt_every_steps"),
    ("samples", "dataset.limit_dataset_samples"),
    ("samples", "data.samples"),
)
_GAPS = 5  # gaps between rows needed to know their usual size


@dataclass(frozen=True, slots=True)
class Clash:
    """One value of a config that the log contradicts."""

    key: str
    held: float
    logged: float

    def __str__(self) -> str:
        return f"{self.held:g}, the log has {self.logged:g}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """The keys in which a config agrees with a log, and those in which it contradicts it."""

    agrees: tuple[str, ...] = ()
    clashes: tuple[Clash, ...] = ()

    @property
    def score(self) -> int:
        """How well the config matches this log; the rate counts double, since runs differ in it."""
        return len(self.agrees) + (_LR in self.agrees) - len(self.clashes)

    @property
    def is_other(self) -> bool:
        """Whether the config clearly belongs to another run."""
        return any(c.key == _LR for c in self.clashes) or bool(self.clashes and self.score <= 0)

    @property
    def only_rate(self) -> bool:
        """Whether the rate is the only contradiction, as after an edit by hand."""
        return {clash.key for clash in self.clashes} == {_LR}


def agreement(values: Mapping[str, object], run: Run) -> Agreement:
    """Compare what a config states with what the log shows."""
    found: dict[str, Clash | None] = {}
    for key, clash in (*_rate(values, run), *_length(values, run), *_compare_values(values, run)):
        found[key] = clash or found.get(key)
    clashes = tuple(clash for clash in found.values() if clash)
    return Agreement(tuple(key for key, clash in found.items() if not clash), clashes)


def rate_span(run: Run) -> tuple[float, float, float] | None:
    """Return (lowest possible peak, highest logged rate, highest possible peak) of the learning
    rate."""
    series = run.series.get("train/lr")
    if series is None:
        return None
    real = np.isfinite(series.values) & (series.values > 0)
    rates, steps = series.values[real], series.steps[real]
    if not len(rates):
        return None
    at = int(np.argmax(rates))
    peak, half = float(rates[at]), _half_digit(rates)
    rising = at == len(rates) - 1 and (at == 0 or rates[at - 1] < peak)
    if rising or (at == 0 and steps[0] > _LATE * max(1, steps[-1])):
        return peak - half, peak, math.inf
    before = peak - float(rates[at - 1]) if at else 0.0
    after = peak - float(rates[at + 1])
    if at == 0:  # the schedule began above its first row
        after *= float(steps[0]) / max(1.0, float(steps[1] - steps[0]))
    return peak - half, peak, peak + half + max(before, after)


def _half_digit(rates: np.ndarray) -> float:
    """Return half a unit of the last digit with which the log prints a rate."""
    places = [int(Decimal(repr(float(rate))).as_tuple().exponent) for rate in rates[:50]]
    return 0.5 * 10.0 ** max(-300, min(places))


def _rate(values: Mapping[str, object], run: Run) -> Iterator[tuple[str, Clash | None]]:
    held, span = finite(values.get(_LR)), rate_span(run)
    if held is None or span is None or held <= 0:
        return
    low, peak, high = span
    if held * FAR < low or held > high * FAR:
        yield _LR, Clash(_LR, held, float(f"{peak:.3g}"))
    elif low / NEAR <= held <= high * NEAR and high < math.inf:
        yield _LR, None


def _length(values: Mapping[str, object], run: Run) -> Iterator[tuple[str, Clash | None]]:
    cap, epochs = finite(values.get(_MAX)), finite(values.get(_EPOCHS))
    planned, last = finite(run.facts.get("max_steps")), _last_step(run)
    if cap is not None and cap > 0:
        if planned:
            yield _MAX, None if planned == cap else Clash(_MAX, cap, planned)
        elif last is not None and last > cap + 1:
            yield _MAX, Clash(_MAX, cap, last)
        return
    if epochs is None or epochs <= 0:
        return
    stated, seen = finite(run.facts.get("num_train_epochs")), _last_epoch(run)
    if stated:
        same = stated == math.ceil(epochs)
        yield _EPOCHS, None if same else Clash(_EPOCHS, epochs, stated)
    elif seen is not None and seen > epochs * NEAR + 1:  # epochs may count from 0 or from 1
        yield _EPOCHS, Clash(_EPOCHS, epochs, seen)


def _compare_values(values: Mapping[str, object], run: Run) -> Iterator[tuple[str, Clash | None]]:
    for fact, key in _STATED:
        held, logged = finite(values.get(key)), finite(run.facts.get(fact))
        if held and logged:
            yield key, None if held == logged else Clash(key, held, logged)
    held, logged = finite(values.get(_LOCAL)), finite(run.facts.get("train_batch_size"))
    if held and logged:  # per process or per device, or reduced to fit in memory
        parts = logged % held == 0 or held % logged == 0
        if held == logged or not parts:
            yield _LOCAL, None if held == logged else Clash(_LOCAL, held, logged)
    held, gap = finite(values.get("logging.every_steps")), _usual_gap(run)
    if held and gap and "logging_steps" not in run.facts and gap <= held:
        clash = Clash("logging.every_steps", held, gap)
        yield "logging.every_steps", None if gap == held else clash


def _usual_gap(run: Run) -> float | None:
    """Return the steps between logged rows; None where the log only counts rows."""
    series = run.series.get("train/loss")
    if series is None or len(series) <= _GAPS or _counts_rows(run):
        return None
    gap, times = Counter(np.diff(series.steps).tolist()).most_common(1)[0]
    return float(gap) if times >= _GAPS and times > 0.8 * (len(series) - 1) else None


def _counts_rows(run: Run) -> bool:
    return any("rows are counted" in note for note in run.notes)


def _last_step(run: Run) -> float | None:
    series = run.series.get("train/loss")
    if series is None or not len(series) or _counts_rows(run):
        return None
    return float(series.steps[-1])


def _last_epoch(run: Run) -> float | None:
    series = run.series.get("train/loss")
    if series is None or series.epochs is None or not len(series):
        return None
    return finite(float(series.epochs[-1]))
