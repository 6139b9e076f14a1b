"""The metrics of a run as they arrive, and the Run and View of everything seen so far."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from advisor.base.median import median
from advisor.config.attach import with_log
from advisor.monitor.column import RING, SLACK, Column
from advisor.readers.choose import choose
from advisor.readers.objective import objective_of
from advisor.run import Config, Event, Run, Series
from advisor.signals.curves import Curve, View
from advisor.signals.summaries import Hidden, Points, hidden_in

MOST_COLUMNS = 400  # metrics; further ones are ignored
MOST_EVENTS = 1000  # of one kind; later ones are ignored
FAILURES = frozenset(("exception", "oom", "stop"))  # events that may end a run
CLOSING = "train_runtime"  # marks the closing row, a summary that is not a point of a curve


class StreamView(View):
    """A View whose curves and summaries come from columns, which hold more than the Series."""

    def __init__(self, run: Run, columns: Mapping[str, Column], hidden: Hidden) -> None:
        super().__init__(run)
        self._columns, self._hidden = columns, hidden

    def points(self, name: str) -> Points | None:
        column, key = self._columns.get(name), "points " + name
        found = self.memo.get(key)
        if column is None or not column.count or isinstance(found, Points):
            return found if isinstance(found, Points) else None
        made = self.memo[key] = column.points()
        return made

    def hidden_nan(self) -> Hidden | None:
        recent = super().hidden_nan()
        return None if recent is None else self._hidden.then(recent)

    def curve(self, name: str) -> Curve:
        column, found = self._columns.get(name), self.memo.get(name)
        if column is None or isinstance(found, Curve):
            return super().curve(name)
        made = self.memo[name] = column.curve(name)
        return made


@dataclass(slots=True)
class BackwardSteps:
    """Places where the steps of the training loss went back, and the usual step distance."""

    last: float | None = None  # step
    first: float = 0.0  # step
    changes: array[float] = field(default_factory=lambda: array("d"))  # step distances, absolute
    places: list[tuple[float, float]] = field(default_factory=list)  # (from step, to step)

    def add(self, step: float) -> None:
        """Take the step of a training loss."""
        if self.last is None:
            self.last = self.first = step
            return
        change = step - self.last
        if change and len(self.changes) < RING:
            self.changes.append(abs(change))
        if change < 0 and len(self.places) < MOST_EVENTS:
            self.places.append((self.last, step))
        self.last = step

    def events(self) -> list[Event]:
        """Return the resumes that a reader would find in this run's log, 50 at most."""
        if not self.places:
            return []
        gap = median(np.array(self.changes))
        return [
            Event("resume", f"steps go back from {a:g} to {b:g}", int(b))
            for a, b in self.places
            if a - b >= 2 * gap and b > self.first + 2 * gap
        ][:50]


@dataclass(slots=True)
class Stream:
    """Everything seen of a run so far."""

    config: Config
    path: str = ""
    id: str = ""
    facts: dict[str, object] = field(default_factory=dict)
    columns: dict[str, Column] = field(default_factory=dict)  # by native name
    events: list[Event] = field(default_factory=list)
    last_failures: list[Event] = field(default_factory=list)  # failures with no row after them yet
    rows: int = 0
    backward: BackwardSteps = field(default_factory=BackwardSteps)
    hidden: Hidden = field(default_factory=Hidden)
    sealed: int = -1  # step up to which points are in blocks
    main: str = ""  # native name of the training loss

    def add(self, step: int, metrics: Mapping[str, float], epoch: float | None) -> None:
        """Add one row of floats, finite or not, by native names."""
        self.rows += 1
        self.last_failures.clear()
        for native, value in metrics.items():
            column = self.columns.get(native)
            if column is None:
                if len(self.columns) >= MOST_COLUMNS:
                    continue
                column = self.columns[native] = Column(native)
                self.main = self.choose_names().get("train/loss", "")
            column.add(step, value, epoch)
            if native == self.main:
                self.backward.add(step)
            if len(column.steps) >= RING + SLACK:
                self.seal(column.steps[SLACK - 1])

    def seal(self, border: int) -> None:
        """Move the points of all columns up to step ``border`` into blocks."""
        chosen = self.choose_names()
        pair = [self.columns.get(chosen.get(n, "")) for n in ("train/loss", "train/grad_norm")]
        if pair[0] is not None and pair[1] is not None:
            loss, grad = (one.series("") for one in pair if one is not None)
            fresh = [_points_between(each, self.sealed, border) for each in (loss, grad)]
            self.hidden = self.hidden.then(hidden_in(*fresh))
        for column in self.columns.values():
            column.seal(border)
        self.sealed = border

    def choose_names(self) -> dict[str, str]:
        """Return canonical name -> native name, chosen as a reader would."""
        return choose({c.native: c.count for c in self.columns.values()}, {}, self.path)[0]

    def view(self) -> StreamView:
        """Return a View of everything seen so far, for signals."""
        columns = {name: self.columns[native] for name, native in self.choose_names().items()}
        series = {name: column.series(name) for name, column in columns.items()}
        facts = dict(self.facts)
        if "objective" not in facts and (objective := objective_of(series)):
            facts["objective"] = objective
        events = [replace(e, final=True) if e in self.last_failures else e for e in self.events]
        if not any(event.kind == "resume" for event in events):
            events += self.backward.events()
        run = Run(self.path, "live", series, self.id, self.config, tuple(events), (), facts)
        run = replace(run, config=with_log(self.config, run))
        return StreamView(run, columns, self.hidden)


def _points_between(series: Series, low: int, high: int) -> Series:
    """Return the points with ``low`` < step <= ``high``."""
    a, b = np.searchsorted(series.steps, [low, high], side="right")
    return replace(
        series, steps=series.steps[a:b], values=series.values[a:b], epochs=None, times=None
    )
