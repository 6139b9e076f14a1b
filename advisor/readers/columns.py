"""Sparse columns of a table, and the step of each of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from advisor.readers import names
from advisor.readers.epochs import across_epochs
from advisor.run import FloatArray, IntArray

COUNTED = "no step in the log: rows are counted"
MOST_TEXTS = 40  # columns of words that are kept
MOST_WORDS = 200  # different words that are kept of each


@dataclass(slots=True)
class Columns:
    """Sparse columns: for each native name, the rows that have a value, and the values.

    ``rows`` counts all rows. A NaN or infinite value was logged as such; a missing value has no
    entry. ``data`` holds pieces, which ``column`` joins.
    """

    rows: int = 0
    data: dict[str, tuple[list[IntArray], list[FloatArray]]] = field(default_factory=dict)
    _all: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    # for a column of words: each different word and the rows that hold it
    texts: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, name: str, rows: IntArray, values: FloatArray) -> None:
        """Add values of a column at these row numbers."""
        if rows.size:
            parts = self.data.setdefault(name, ([], []))
            parts[0].append(rows)
            parts[1].append(values)

    def column(self, name: str) -> tuple[IntArray, FloatArray]:
        """Return the row numbers and values of a column."""
        rows, values = self.data[name]
        if len(rows) > 1:
            # full columns share one array of row numbers, which halves the memory of a large log
            full = sum(part.size for part in rows) == self.rows
            rows = [self.every_row() if full else np.concatenate(rows)]
            self.data[name] = rows, values = rows, [np.concatenate(values)]
        return rows[0], values[0]

    def every_row(self) -> IntArray:
        """Return the numbers of all rows."""
        if self._all.size != self.rows:
            self._all = np.arange(self.rows)
        return self._all

    def count(self, name: str) -> int:
        """Return how many values a column has."""
        return sum(part.size for part in self.data[name][0])

    def find(self, wanted: Iterable[str]) -> str | None:
        """Return the log's spelling of the first wanted name that is a column; None without one."""
        by_name = {names.plain(native): native for native in self.data}
        return next((by_name.get(w, w) for w in wanted if w in by_name or w in self.data), None)

    def by_row(self, wanted: Iterable[str]) -> FloatArray | None:
        """Return the first wanted column as one value per row, NaN where missing; None without."""
        native = self.find(wanted)
        if native is None:
            return None
        rows, values = self.column(native)
        if rows.size == self.rows:
            return values
        out = np.full(self.rows, np.nan)
        out[rows] = values
        return out

    def add_word(self, name: str, word: str, row: int) -> None:
        """Keep a word of a column, unless the column has too many to be a label of its rows."""
        if name not in self.texts and len(self.texts) >= MOST_TEXTS:
            return
        kept = self.texts.setdefault(name, {})
        if word in kept or (len(kept) < MOST_WORDS and len(word) < 200):
            kept.setdefault(word, []).append(row)


def steps_of(columns: Columns, main: IntArray, mapped: Mapping[str, str]) -> tuple[FloatArray, str]:
    """Return the step of every row, and a note on its origin ('' for a plain step column).

    ``main`` holds the rows of the main metric: where their steps restart in each epoch, they are
    made to continue across epochs.
    """
    for wanted in (mapped.get("step", ""), *names.STEP):
        steps = columns.by_row((wanted,))
        if steps is None or not _is_step(steps):
            continue
        epoch = columns.by_row((mapped.get("epoch", ""), *names.EPOCH))
        if epoch is not None and main.size:
            onward = across_epochs(steps[main], epoch[main], np.full(main.size, np.nan))
            if not np.array_equal(onward, steps[main], equal_nan=True):
                steps = np.full(columns.rows, np.nan)
                steps[main] = onward
                return _fill_gaps(steps), "steps are counted within each epoch: they were joined"
        return _fill_gaps(steps), ""
    epoch = columns.by_row((mapped.get("epoch", ""), *names.EPOCH))
    if epoch is not None:
        known = epoch[np.isfinite(epoch)]
        whole = bool((known == np.round(known)).all())
        if whole and np.unique(known).size > 0.8 * max(1, columns.rows):
            return _fill_gaps(epoch), "no step in the log: epochs are taken as steps"
    return np.arange(1.0, columns.rows + 1), COUNTED


def _is_step(steps: FloatArray) -> bool:
    """Return whether a column can be the step: whole numbers, in at least 30% of the rows."""
    known = steps[np.isfinite(steps)]
    if known.size < 0.3 * steps.size:
        return False
    return bool(np.count_nonzero(known == np.rint(known)) >= 0.98 * known.size)


def _fill_gaps(steps: FloatArray) -> FloatArray:
    """Return the steps with gaps filled from the row before, or from the first known step."""
    known = np.isfinite(steps)
    if known.all():
        return steps
    index = np.maximum.accumulate(np.where(known, np.arange(steps.size), -1))
    return np.where(index >= 0, steps[np.maximum(index, 0)], steps[known][0])
