"""Sparse columns of a table, and the step of each of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from advisor.readers import names
from advisor.readers.epochs import across_epochs
from advisor.run import FloatArray, IntArray

COUNTED = "no step in the log: rows are counted"
MOST_TEXTS = 40  # columns of words that are kept, and different words of each
MOST_WORDS = 200


@dataclass(slots=True)
class Columns:
    """Sparse columns: for each native name the row numbers and values that are there.

    ``rows`` counts all rows. A value may be NaN or infinite: that was logged.
    """

    rows: int = 0
    data: dict[str, tuple[list[IntArray], list[FloatArray]]] = field(default_factory=dict)
    _all: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    # the few words of a column that holds words, with the rows of each
    texts: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, name: str, rows: IntArray, values: FloatArray) -> None:
        if rows.size:
            parts = self.data.setdefault(name, ([], []))
            parts[0].append(rows)
            parts[1].append(values)

    def column(self, name: str) -> tuple[IntArray, FloatArray]:
        rows, values = self.data[name]
        if len(rows) > 1:
            # columns without a hole share their row numbers: most of the memory of a large log
            full = sum(part.size for part in rows) == self.rows
            rows = [self.every_row() if full else np.concatenate(rows)]
            self.data[name] = rows, values = rows, [np.concatenate(values)]
        return rows[0], values[0]

    def every_row(self) -> IntArray:
        if self._all.size != self.rows:
            self._all = np.arange(self.rows)
        return self._all

    def count(self, name: str) -> int:
        return sum(part.size for part in self.data[name][0])

    def find(self, wanted: Iterable[str]) -> str | None:
        """Return the first of the wanted names that is there, as the log writes it."""
        by_name = {names.plain(native): native for native in self.data}
        return next((by_name.get(w, w) for w in wanted if w in by_name or w in self.data), None)

    def by_row(self, wanted: Iterable[str]) -> FloatArray | None:
        """Return the first of the wanted columns, with NaN in the rows that lack it."""
        native = self.find(wanted)
        if native is None:
            return None
        rows, values = self.column(native)
        if rows.size == self.rows:
            return values
        out = np.full(self.rows, np.nan)
        out[rows] = values
        return out

    def say(self, name: str, word: str, row: int) -> None:
        """Keep a word of a column of words, unless there are too many to mean a kind of row."""
        if name not in self.texts and len(self.texts) >= MOST_TEXTS:
            return
        kept = self.texts.setdefault(name, {})
        if word in kept or (len(kept) < MOST_WORDS and len(word) < 200):
            kept.setdefault(word, []).append(row)


def steps_of(columns: Columns, main: IntArray, mapped: Mapping[str, str]) -> tuple[FloatArray, str]:
    """Return the step of every row, and a note on where it comes from.

    ``main`` are the rows of the main metric: where these count their steps within each epoch,
    the steps are made to go on.
    """
    for wanted in (mapped.get("step", ""), *names.STEP):
        steps = columns.by_row((wanted,))
        if steps is None or not _counts(steps):
            continue
        epoch = columns.by_row((mapped.get("epoch", ""), *names.EPOCH))
        if epoch is not None and main.size:
            onward = across_epochs(steps[main], epoch[main], np.full(main.size, np.nan))
            if not np.array_equal(onward, steps[main], equal_nan=True):
                steps = np.full(columns.rows, np.nan)
                steps[main] = onward
                return _fill(steps), "steps are counted within each epoch: they were joined"
        return _fill(steps), ""
    epoch = columns.by_row((mapped.get("epoch", ""), *names.EPOCH))
    if epoch is not None:
        known = epoch[np.isfinite(epoch)]
        whole = bool((known == np.round(known)).all())
        if whole and np.unique(known).size > 0.8 * max(1, columns.rows):
            return _fill(epoch), "no step in the log: epochs are taken as steps"
    return np.arange(1.0, columns.rows + 1), COUNTED


def _counts(steps: FloatArray) -> bool:
    """Say whether a column holds whole numbers in enough rows to be the step."""
    known = steps[np.isfinite(steps)]
    if known.size < 0.3 * steps.size:
        return False
    return bool(np.count_nonzero(known == np.rint(known)) >= 0.98 * known.size)


def _fill(steps: FloatArray) -> FloatArray:
    """Give rows without a step that of the row before."""
    known = np.isfinite(steps)
    if known.all():
        return steps
    index = np.maximum.accumulate(np.where(known, np.arange(steps.size), -1))
    return np.where(index >= 0, steps[np.maximum(index, 0)], steps[known][0])
