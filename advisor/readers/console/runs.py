"""Separating the runs of one console log: where each begins, and which facts belong to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from advisor.base.median import median
from advisor.readers.console.rows import EPOCH, LINE, STEP, Floats, Part

EPOCHS_SHOWN = "epochs_shown"  # the 3 of 'epoch 1/3', used if no line states the run's epochs
_FACT_HINT = re.compile(r"Num [Ee]|Total (?:opt|train|steps)|logging_steps")
_FACTS = (
    (re.compile(r"Total (?:optimization |train(?:ing)? )?steps\s*=\s*([\d,]{1,15})"), "max_steps"),
    (re.compile(r"Num [Ee]pochs\s*=\s*([\d,]{1,12})"), "num_train_epochs"),
    (re.compile(r"Num examples\s*=\s*([\d,]{1,15})"), "train_samples"),
    (re.compile(r"\blogging_steps['\"]?\s*[=:]\s*(\d{1,9})\b"), "logging_steps"),
)
_AT_STEP = re.compile(r"(?:checkpoint|step|iteration|iter|update)s?[-_ =:]{0,3}(\d{1,12})\b", re.I)
MOST = 4_096  # statements, headers and summaries that are kept


@dataclass(slots=True)
class Statements:
    """What lines without rows state about the runs, each with its line."""

    facts: list[tuple[int, str, object]] = field(default_factory=list)
    headers: list[int] = field(default_factory=list)  # a run is about to begin
    summaries: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)  # a run ended
    resumes: list[int] = field(default_factory=list)  # a run resumes from a checkpoint
    own: list[int] = field(default_factory=list)  # resumes from a checkpoint that this log saved
    _saved: set[str] = field(default_factory=set)
    _last: dict[str, object] = field(default_factory=dict)

    def add_fact(self, line: int, name: str, value: object) -> None:
        """Add a fact unless it repeats what was stated last."""
        if self._last.get(name) != value and len(self.facts) < MOST:
            self._last[name] = value
            self.facts.append((line, name, value))

    def read_facts(self, line: int, text: str) -> None:
        """Add the facts that a line states."""
        if not _FACT_HINT.search(text):
            return
        for pattern, name in _FACTS:
            match = pattern.search(text)
            if match:
                self.add_fact(line, name, int(match[1].replace(",", "")))

    def add_resume(self, line: int, text: str) -> None:
        """Add a resume, and the step that its line states."""
        if len(self.resumes) < MOST:
            self.resumes.append(line)
            if not self._saved.isdisjoint(map(_base, text.split())):
                self.own.append(line)
        step = _AT_STEP.search(text)
        if step is not None:
            self.add_fact(line, "resumed_at", int(step[1]))

    def add_saved(self, path: str) -> None:
        """Add a checkpoint that this log saved."""
        if len(self._saved) < MOST:
            self._saved.add(_base(path))

    def add_header(self, line: int) -> None:
        """Add a line that announces a run."""
        if len(self.headers) < MOST:
            self.headers.append(line)
            self._last.clear()  # the next run may state the same facts again

    def add_summary(self, line: int, averages: Mapping[str, float]) -> None:
        """Add the closing averages of a run."""
        if len(self.summaries) < MOST:
            self.summaries.append((line, averages))

    def of_run(self, low: float, high: float) -> dict[str, object]:
        """Return the facts of the run in lines ``[low, high)``; its own override earlier ones."""
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
    """The lines of one run: its rows in ``[begin, end)``, everything else in ``[low, high)``."""

    begin: float
    end: float
    low: float
    high: float

    def select(self, part: Part) -> Part | None:
        """Return the rows of a part that belong to this run; None without any."""
        lines = part.places[:, LINE]
        if self.begin <= lines[0] and lines[-1] < self.end:
            return part
        inside = (lines >= self.begin) & (lines < self.end)
        if not inside.any():
            return None
        return Part(part.block, part.values[inside], part.places[inside])


def find_runs(
    parts: Sequence[Part], stated: Statements, failures: Sequence[int]
) -> list[RunStretch]:
    """Return the runs of a log in order, at least one; ``failures`` holds lines of failures."""
    begins = _find_begins(parts, stated)
    rows = np.sort(np.concatenate([part.places[:, LINE] for part in parts]))
    lows = [0.0, *(_find_border(begin, rows, stated, failures) for begin in begins[1:])]
    ends, highs = [*begins[1:], np.inf], [*lows[1:], np.inf]
    return [RunStretch(*four) for four in zip(begins, ends, lows, highs, strict=True)]


def continue_epochs(parts: Sequence[Part], stated: Statements) -> None:
    """Continue, in place, epochs that restart at 0 after a resume from the log's own checkpoint."""
    for line in stated.own:
        for part in parts:
            epochs = part.places[:, EPOCH]
            at = int(np.searchsorted(part.places[:, LINE], line))
            if 0 < at < epochs.size and epochs[at] <= 1 < epochs[at - 1]:
                epochs[at:] += np.floor(epochs[at - 1]) + 1 - epochs[at]


def _base(path: str) -> str:
    return re.split(r"[/\\]", path.strip("'\",.()[]:;"))[-1]


def _find_border(begin: float, rows: Floats, stated: Statements, failures: Sequence[int]) -> float:
    """Return the line from which messages belong to the run whose first row is at ``begin``.

    That is the line after the earlier run's summary, else the first header, else the line after
    a failure, else ``begin`` itself.
    """
    before = float(rows[int(np.searchsorted(rows, begin)) - 1])
    ended = [line + 1.0 for line, _ in stated.summaries if before < line < begin]
    opened = [float(line) for line in stated.headers if before < line < begin]
    failed = [line + 1.0 for line in failures if before < line < begin]
    return next((float(found[0]) for found in (ended, opened, failed) if found), begin)


def _find_begins(parts: Sequence[Part], stated: Statements) -> list[float]:
    """Return the lines at which runs begin: the first row, and each return to a run's beginning.

    Rows of each shape return somewhere between two lines. Where these intervals overlap for
    several shapes it is one return, before the first row of any of them.
    """
    gaps = sorted((right, left) for part in parts for left, right in _find_returns(part, stated))
    begins: list[float] = []
    for right, left in gaps:
        if not begins or begins[-1] <= left:
            begins.append(right)
    return _drop_empty(begins, parts)


def _find_returns(part: Part, stated: Statements) -> list[tuple[float, float]]:
    """Return where rows return to the beginning: the lines of the row before and the row after."""
    measure = _progress(part)
    if measure is None:
        return []
    ended = np.array([line for line, _ in stated.summaries], dtype=np.float64)
    marks = np.array(stated.headers, dtype=np.float64)
    resumed = np.array(stated.resumes, dtype=np.float64)
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
        # between them a summary ends a run or a header begins one, which may log less often
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
    """Return a measure that grows during a run; None where rows state neither step nor epoch.

    It is the step, made to continue where it restarts in each epoch, or else the epoch.
    """
    epoch, step = part.places[:, EPOCH], part.places[:, STEP]
    if part.places.shape[0] < 2:
        return None
    if np.isfinite(step).all():
        backward = np.diff(step) <= 0
        if np.isfinite(epoch).all() and np.any(np.diff(epoch)[backward] > 0):
            return epoch * (float(np.nanmax(step)) + 1) + step
        return step
    return epoch if np.isfinite(epoch).all() else None


def _drop_empty(begins: Sequence[float], parts: Sequence[Part]) -> list[float]:
    """Return the beginnings, without those that leave a run without a row of the largest part."""
    kept = [float(min(part.places[0, LINE] for part in parts))]
    largest = max(parts, key=lambda part: part.places.shape[0])
    lines = largest.places[:, LINE]
    for begin in begins:
        if np.any((lines >= kept[-1]) & (lines < begin)):
            kept.append(begin)
    return kept
