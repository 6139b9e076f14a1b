"""When to look: at growing intervals, on suspicion, and never for more time than is granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 10  # rows before the first look
GROWTH = 1.15  # rows of a look over those of the look before
FLAT_GROWTH = 1.08  # the same of looks at whether the loss is flat
CALM = 20  # rows without a reason, after which the same reason is a new one
# What a look costs in microseconds, by the points of the curves: measured, see live_cost.md
FULL_US, FULL_POINT_US = 3000.0, 3.0
QUICK_US, QUICK_POINT_US = 1200.0, 1.9
MOST_POINTS = 4096


def cost(points: int, full: bool) -> float:
    """Estimate a look's microseconds; a measured time would make answers depend on the machine."""
    points = min(points, MOST_POINTS)
    return FULL_US + FULL_POINT_US * points if full else QUICK_US + QUICK_POINT_US * points


@dataclass(slots=True)
class Account:
    """Microseconds that may be spent: ``start`` once, then a part of each row, and of the time
    that passes between rows."""

    start: float
    row: float
    share: float
    most: float
    credit: float = 0.0

    def __post_init__(self) -> None:
        self.credit = self.start

    def earn(self, seconds: float) -> None:
        self.credit = min(self.most, self.credit + self.row + self.share * 1e6 * seconds)


@dataclass(slots=True)
class Episode:
    """A reason to look that goes on: looks come at once, then at growing distances."""

    since: int
    last: int
    next_look: int


@dataclass(slots=True)
class Schedule:
    """Rows in, looks out. ``clock`` gives seconds."""

    clock: Callable[[], float]
    full: Account = field(default_factory=lambda: Account(20e3, 30.0, 0.0006, 100e3))
    quick: Account = field(default_factory=lambda: Account(10e3, 20.0, 0.0004, 50e3))
    debt: float = 100e3  # that urgent looks may run into
    next_full: float = FIRST
    next_flat: float = FIRST
    episodes: dict[str, Episode] = field(default_factory=dict)
    last: float = 0.0

    def start(self) -> None:
        self.last = self.clock()

    def pass_row(self) -> None:
        now = self.clock()
        passed, self.last = max(0.0, now - self.last), now
        self.full.earn(passed)
        self.quick.earn(passed)

    def wants_full(self, rows: int) -> bool:
        """Whether a scheduled look is due and can be paid for."""
        return rows >= self.next_full and self.full.credit >= cost(rows, full=True)

    def wants_flat(self, rows: int) -> bool:
        """Whether it is time to see if the loss still falls: oftener than for all rules."""
        if rows < self.next_flat or self.quick.credit < cost(rows, full=False):
            return False
        self.next_flat = FLAT_GROWTH * rows
        return True

    def wants_quick(self, rows: int, why: str, urgent: bool) -> bool:
        """Whether a reason to look is followed up now. An urgent one is followed up on credit."""
        episode = self.episodes.get(why)
        if episode is None or rows - episode.last > CALM:
            episode = self.episodes[why] = Episode(rows, rows, rows)
        episode.last = rows
        if rows < episode.next_look:
            return False
        if not (self.quick.credit >= cost(rows, full=False) or (urgent and self.can_owe)):
            return False
        episode.next_look = rows + 1 + (rows - episode.since) // 3
        return True

    @property
    def can_owe(self) -> bool:
        return self.quick.credit > -self.debt

    def looked(self, rows: int, full: bool) -> None:
        account = self.full if full else self.quick
        account.credit -= cost(rows, full)
        if full:
            self.next_full = max(rows + 1, GROWTH * rows)
