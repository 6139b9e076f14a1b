"""When to look: at growing intervals, on suspicion, and never for more time than is granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 10  # rows before the first look
GROWTH = 1.3  # rows of a look over those of the look before
FLAT_GROWTH, FLAT_LEAST = 1.08, 4  # the same, and least rows, of looks for a flat loss
CALM = 20  # rows without a reason, after which the same reason is a new one
# What a look costs in microseconds, by the points of the curves: measured, see live_cost.md
COSTS = {"full": (3000.0, 3.0), "quick": (1200.0, 1.9), "eval": (900.0, 1.0), "flat": (400.0, 0.6)}
MOST_POINTS = 4096


def cost(points: int, kind: str) -> float:
    """Estimate a look's microseconds; a measured time would make answers depend on the machine."""
    fixed, each = COSTS[kind]
    return fixed + each * min(points, MOST_POINTS)


@dataclass(slots=True)
class TimeBudget:
    """Microseconds that may be spent: ``start`` once, then a part of each row, and of the time
    that passes between rows."""

    start: float
    row: float
    share: float
    most: float
    credit: float = 0.0
    rows: int = 0  # that were paid in, and seconds
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.credit = self.start

    def pays(self, asked: float, rows: int, seconds: float, debt: float = 0.0) -> bool:
        """Return whether a look can be paid for after so many rows and seconds in all."""
        earned = self.row * (rows - self.rows) + self.share * 1e6 * (seconds - self.seconds)
        self.credit = min(self.most, self.credit + earned)
        self.rows, self.seconds = rows, seconds
        return self.credit >= asked or (debt > 0 and self.credit > -debt)


@dataclass(slots=True)
class Episode:
    """A reason to look that goes on: looks come at once, then at growing distances."""

    since: int
    last: int
    next_look: int


@dataclass(slots=True)
class LookSchedule:
    """Rows in, looks out. ``clock`` gives seconds."""

    clock: Callable[[], float]
    full: TimeBudget = field(default_factory=lambda: TimeBudget(14e3, 9.0, 0.0005, 100e3))
    quick: TimeBudget = field(default_factory=lambda: TimeBudget(8e3, 13.0, 0.0004, 50e3))
    flat: TimeBudget = field(default_factory=lambda: TimeBudget(8e3, 8.0, 0.0001, 20e3))
    debt: float = 100e3  # that urgent looks may run into ...
    last_debt: float = 300e3  # ... and those for a loss that is gone
    next_full: float = FIRST
    next_flat: float = 2 * FIRST
    episodes: dict[str, Episode] = field(default_factory=dict)
    last: float = 0.0
    rows: int = 0
    seconds: float = 0.0

    def start(self) -> None:
        self.last = self.clock()

    def pass_row(self) -> None:
        self.rows += 1
        now = self.clock()
        if now > self.last:
            self.seconds += now - self.last
        self.last = now

    def wants_full(self, rows: int) -> bool:
        """Return whether a scheduled look is due and can be paid for."""
        return rows >= self.next_full and self._can("full", rows)

    def wants_flat(self, rows: int) -> bool:
        """Return whether it is time to see if the loss still falls: oftener than for all rules."""
        if rows < self.next_flat or not self._can("flat", rows):
            return False
        self.next_flat = max(rows + FLAT_LEAST, FLAT_GROWTH * rows)
        return True

    def _can(self, kind: str, rows: int, debt: float = 0.0) -> bool:
        account = {"full": self.full, "flat": self.flat}.get(kind, self.quick)
        return account.pays(cost(rows, kind), self.rows, self.seconds, debt)

    def wants_quick(self, rows: int, why: str, urgent: bool) -> bool:
        """Return whether a reason to look is followed up now. An urgent one is followed up on
        credit."""
        episode = self.episodes.get(why)
        if episode is None or rows - episode.last > CALM:
            episode = self.episodes[why] = Episode(rows, rows, rows)
        episode.last = rows
        if rows < episode.next_look:
            return False
        kind = "eval" if why == "eval" else "quick"
        debt = self.last_debt if why in ("nonfinite", "zero", "event") else self.debt
        if not self._can(kind, rows, debt if urgent else 0.0):
            return False
        episode.next_look = rows + 1 + (rows - episode.since) // 3
        return True

    def note_look(self, rows: int, kind: str) -> None:
        accounts = {"full": self.full, "flat": self.flat}
        accounts.get(kind, self.quick).credit -= cost(rows, kind)
        if kind == "full":
            self.next_full = max(rows + 1, GROWTH * rows)
