"""When to look: at growing intervals, on suspicion, and never for more time than is granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

POINT_US = 50.0  # granted for each logged row ...
SHARE = 0.001  # ... and of the time that passes between rows
START_US = 25_000.0  # granted once: a run of sixty points is looked at as well
MOST_US = 100_000.0  # that can be saved up
FIRST = 10  # rows before the first look
GROWTH = 1.15  # rows of a look over those of the look before
# What a look costs, by the points of the curves (at most LIMIT): measured, see live_cost.md
FULL_US, FULL_POINT_US = 2500.0, 4.0
QUICK_US, QUICK_POINT_US = 900.0, 1.6


def cost(points: int, full: bool) -> float:
    """Estimate a look's microseconds; a measured time would make answers depend on the machine."""
    points = min(points, 4096)
    return FULL_US + FULL_POINT_US * points if full else QUICK_US + QUICK_POINT_US * points


@dataclass(slots=True)
class Schedule:
    """Rows in, looks out. ``clock`` gives seconds."""

    clock: Callable[[], float]
    credit: float = START_US
    next_full: float = FIRST
    since: int = 0  # rows of the present episode of suspicion
    next_quick: int = 0  # row of the next look on suspicion
    quiet: int = 0
    last: float = field(default=0.0)

    def start(self) -> None:
        self.last = self.clock()

    def pass_row(self) -> None:
        now = self.clock()
        earned = POINT_US + SHARE * 1e6 * max(0.0, now - self.last)
        self.last = now
        self.credit = min(MOST_US, self.credit + earned)

    def wants_full(self, rows: int) -> bool:
        """Whether a scheduled look is due and can be paid for."""
        return rows >= self.next_full and self.credit >= cost(rows, full=True)

    def wants_quick(self, rows: int, urgent: bool) -> bool:
        """Whether suspicion is followed up now: at once, then at growing distances while it
        goes on. An urgent one is followed up on credit."""
        if rows - self.quiet > 20:  # a new episode
            self.since, self.next_quick = rows, rows
        self.quiet = rows
        if rows < self.next_quick:
            return False
        return urgent or self.credit >= cost(rows, full=False)

    def looked(self, rows: int, full: bool) -> None:
        self.credit -= cost(rows, full)
        if full:
            self.next_full = max(rows + 1, GROWTH * rows)
        self.next_quick = rows + 1 + (rows - self.since) // 3
