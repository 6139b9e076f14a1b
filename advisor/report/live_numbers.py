"""The state of a run in numbers: its last values, its speed, and a few signals."""

from __future__ import annotations

import math

import numpy as np

from advisor.run import Run, Series
from advisor.signals import View, resolve
from advisor.watch.history import last_step, main_series

RECENT = 50  # points that the speed is measured over
# name, title, signals beside it: (signal, words around its value)
_ROWS = (
    ("train/loss", "loss", (
        ("loss.lowest", "lowest {:.4g}"), ("loss.noise", "noise {:.1%}"),
        ("loss.first", "began at {:.4g}"),
    )),
    ("eval/loss", "eval loss", (
        ("eval.last_rise", "{:.1%} above its minimum"), ("eval.gap", "{:+.1%} to training"),
    )),
    ("train/grad_norm", "grad norm", (
        ("grad.median", "median {:.3g}"), ("grad.clipped_share", "{:.0%} clipped"),
    )),
    ("train/lr", "rate", (("lr.end_ratio", "{:.0%} of its peak"),)),
    ("train/tokens_per_second", "tokens/s", ()),
    ("train/memory_gib", "memory GiB", ()),
)  # fmt: skip


def numbers_of(run: Run) -> list[tuple[str, str, str]]:
    """Return (title, current value, text of signals) for each series that the run has."""
    view = View(run)
    rows = []
    for name, title, signals in _ROWS:
        series = run.series.get(name)
        if series is None or not len(series):
            continue
        said = [text for signal, words in signals if (text := _describe(signal, words, view))]
        rows.append((title, f"{float(series.values[-1]):.4g}", ", ".join(said)))
    return rows


def _describe(signal: str, words: str, view: View) -> str:
    value = resolve(signal, view).value
    return words.format(value) if value is not None and math.isfinite(value) else ""


def standing_of(run: Run) -> str:
    """Return the progress of a run, its speed and the remaining time, in words."""
    series = main_series(run)
    if series is None:
        return "no metrics yet"
    step = last_step(run)
    planned = run.facts.get("max_steps")
    known = isinstance(planned, int | float) and planned > 0
    parts = [f"step {step}"]
    if known and isinstance(planned, int | float):
        parts = [f"step {step} of {planned:g} ({min(1.0, step / planned):.0%})"]
    if series.epochs is not None and np.isfinite(series.epochs[-1]):
        parts.append(f"epoch {float(series.epochs[-1]):.2f}")
    pace = _seconds_per_step(series)
    if pace:
        parts.append(f"{pace:.2g} s/step" if pace >= 1 else f"{1 / pace:.3g} steps/s")
        left = (planned - step) * pace if known and isinstance(planned, int | float) else 0.0
        if left > 0:
            parts.append(f"{_span(left)} left")
    return ", ".join(parts)


def _seconds_per_step(series: Series) -> float | None:
    if series.times is None or len(series) < 3:
        return None
    times, steps = series.times[-RECENT:], series.steps[-RECENT:]
    good = np.isfinite(times)
    if good.sum() < 3:
        return None
    times, steps = times[good], steps[good]
    seconds = float(times[-1] - times[0])
    return seconds / float(steps[-1] - steps[0]) if seconds > 0 else None


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
