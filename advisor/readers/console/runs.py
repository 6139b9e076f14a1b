"""The runs of one console log: where each begins, and what the log states of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from advisor.base.median import median
from advisor.readers.console.rows import EPOCH, LINE, STEP, Floats, Part

EPOCHS_SHOWN = "epochs_shown"  # the 3 of 'epoch 1/3', where no line states it of the run
_AT_STEP = re.compile(r"(?:checkpoint|step|iteration|iter|update)s?[-_ =:]{0,3}(\d{1,12})\b", re.I)
MOST = 4_096  # statements, headers and summaries that are kept


@dataclass(slots=True)
class Told:
    """What lines beside the rows say, each with its line."""

    facts: list[tuple[int, str, object]] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)  # a run is about to begin
    summaries: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)  # one has ended
    resumes: list[int] = field(default_factory=list)  # one goes on from a checkpoint
    own: list[int] = field(default_factory=list)  # one that this log tells of saving
    _saved: set[str] = field(default_factory=set)
    _last: dict[str, object] = field(default_factory=dict)

    def state(self, line: int, name: str, value: object) -> None:
        if self._last.get(name) != value and len(self.facts) < MOST:
            self._last[name] = value
            self.facts.append((line, name, value))

    def resume(self, line: int, text: str) -> None:
        if len(self.resumes) < MOST:
            self.resumes.append(line)
            if not self._saved.isdisjoint(map(_base, text.split())):
                self.own.append(line)
        step = _AT_STEP.search(text)
        if step is not None:
            self.state(line, "resumed_at", int(step[1]))

    def add_saved(self, path: str) -> None:
        if len(self._saved) < MOST:
            self._saved.add(_base(path))

    def header(self, line: int) -> None:
        if len(self.headers) < MOST:
            self.headers.append(line)
            self._last.clear()  # what the next run states is its own

    def summarise(self, line: int, averages: Mapping[str, float]) -> None:
        if len(self.summaries) < MOST:
            self.summaries.append((line, averages))

    def of_run(self, low: float, high: float) -> dict[str, object]:
        """Return the facts of the run between two lines: its own win over those before it."""
        facts: dict[str, object] = {name: value for line, name, value in self.facts if line < high}
        shown = facts.pop(EPOCHS_SHOWN, None)
        if shown is not None:
            facts.setdefault("num_train_epochs", shown)
        for line, averages in self.summaries:
            if low <= line < high:
                facts.update((k, v) for k, v in averages.items() if k != "epoch" and np.isfinite(v))
        return facts


@dataclass(frozen=True, slots=True)
class RunStretch:
    """The lines of one run: those of its rows, and those of what was said of it."""

    begin: float
    end: float
    low: float
    high: float


def stretches(parts: Sequence[Part], told: Told, failures: Sequence[int]) -> list[RunStretch]:
    """Return the runs of a log, in order; one where nothing begins anew."""
    begins = _begins(parts, told)
    rows = np.sort(np.concatenate([part.places[:, LINE] for part in parts]))
    lows = [0.0, *(_border(begin, rows, told, failures) for begin in begins[1:])]
    ends, highs = [*begins[1:], np.inf], [*lows[1:], np.inf]
    return [RunStretch(*four) for four in zip(begins, ends, lows, highs, strict=True)]


def go_on(parts: Sequence[Part], told: Told) -> None:
    """Count epochs on where a log goes on from its own checkpoint and counts from 0 again."""
    for line in told.own:
        for part in parts:
            epochs = part.places[:, EPOCH]
            at = int(np.searchsorted(part.places[:, LINE], line))
            if 0 < at < epochs.size and epochs[at] <= 1 < epochs[at - 1]:
                epochs[at:] += np.floor(epochs[at - 1]) + 1 - epochs[at]


def _base(path: str) -> str:
    return re.split(r"[/\\]", path.strip("'\",.()[]:;"))[-1]


def _border(begin: float, rows: Floats, told: Told, failures: Sequence[int]) -> float:
    """Return the line from which on what is said is of the run whose first row is at ``begin``."""
    before = float(rows[int(np.searchsorted(rows, begin)) - 1])
    ended = [line + 1.0 for line, _ in told.summaries if before < line < begin]
    opened = [float(line) for line in told.headers if before < line < begin]
    failed = [line + 1.0 for line in failures if before < line < begin]
    return next((float(found[0]) for found in (ended, opened, failed) if found), begin)


def _begins(parts: Sequence[Part], told: Told) -> list[float]:
    """Return the lines at which a run begins: the first row, and every return to where a run began.

    Rows of each shape return somewhere between two lines. Where the stretches of several shapes
    overlap they tell of one return, which is before the first row of any of them.
    """
    gaps = sorted((right, left) for part in parts for left, right in _returns(part, told))
    begins: list[float] = []
    for right, left in gaps:
        if not begins or begins[-1] <= left:
            begins.append(right)
    return _with_rows(begins, parts)


def _returns(part: Part, told: Told) -> list[tuple[float, float]]:
    """Return where rows go back to the beginning: the line of the last row before, of the first
    after."""
    measure = _progress(part)
    if measure is None:
        return []
    ended = np.array([line for line, _ in told.summaries], dtype=np.float64)
    marks, resumed = (np.array(lines, dtype=np.float64) for lines in (told.headers, told.resumes))
    found: list[tuple[float, float]] = []
    change = np.diff(measure)
    usual = median(change[change > 0]) if np.any(change > 0) else 0.0
    lines = part.places[:, LINE]
    first, furthest = float(measure[0]), float(measure[0])
    for at in np.flatnonzero(change < 0) + 1:
        furthest = max(furthest, float(measure[:at].max()) if at < 4096 else furthest + 1)
        left, right = float(lines[at - 1]), float(lines[at])
        again = measure[at] <= first < furthest
        early = measure[at] <= first + 2 * usual or measure[at] <= 0.5 * furthest
        # a summary ends a run, and a header in between begins one; it need not log as often
        again |= bool(early and _within(ended, left, right))
        again |= bool(measure[at] <= first + 2 * usual and _within(marks, left, right))
        again &= not (measure[at] > first and _within(resumed, left, right))
        if again:
            found.append((left, right))
            first = furthest = float(measure[at])
    return found


def _within(lines: Floats, left: float, right: float) -> bool:
    return bool(np.any((lines > left) & (lines < right)))


def _progress(part: Part) -> Floats | None:
    """Return what grows as a run goes on: the epoch, and the step within it where the line has
    both."""
    epoch, step = part.places[:, EPOCH], part.places[:, STEP]
    if part.places.shape[0] < 2:
        return None
    if np.isfinite(step).all():
        backward = np.diff(step) <= 0
        if np.isfinite(epoch).all() and np.any(np.diff(epoch)[backward] > 0):
            return epoch * (float(np.nanmax(step)) + 1) + step
        return step
    return epoch if np.isfinite(epoch).all() else None


def _with_rows(begins: Sequence[float], parts: Sequence[Part]) -> list[float]:
    """Return the beginnings that leave no run without a row of the largest part."""
    kept = [float(min(part.places[0, LINE] for part in parts))]
    largest = max(parts, key=lambda part: part.places.shape[0])
    lines = largest.places[:, LINE]
    for begin in begins:
        if np.any((lines >= kept[-1]) & (lines < begin)):
            kept.append(begin)
    return kept
