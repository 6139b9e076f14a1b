"""When to look: at growing intervals, on suspicion, and never for more time than is granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 10  # rows before the first look
GROWTH = 1.15  # rows of a look over those of the look before
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
    full: Account = field(default_factory=lambda: Account(16e3, 26.0, 0.0005, 100e3))
    quick: Account = field(default_factory=lambda: Account(8e3, 16.0, 0.0004, 50e3))
    flat: Account = field(default_factory=lambda: Account(4e3, 8.0, 0.0001, 20e3))
    debt: float = 100e3  # that urgent looks may run into
    next_full: float = FIRST
    next_flat: float = 2 * FIRST
    episodes: dict[str, Episode] = field(default_factory=dict)
    last: float = 0.0

    def start(self) -> None:
        self.last = self.clock()

    def pass_row(self) -> None:
        now = self.clock()
        passed, self.last = max(0.0, now - self.last), now
        self.full.earn(passed)
        self.quick.earn(passed)
        self.flat.earn(passed)

    def wants_full(self, rows: int) -> bool:
        """Whether a scheduled look is due and can be paid for."""
        return rows >= self.next_full and self.full.credit >= cost(rows, "full")

    def wants_flat(self, rows: int) -> bool:
        """Whether it is time to see if the loss still falls: oftener than for all rules."""
        if rows < self.next_flat or self.flat.credit < cost(rows, "flat"):
            return False
        self.next_flat = max(rows + FLAT_LEAST, FLAT_GROWTH * rows)
        return True

    def wants_quick(self, rows: int, why: str, urgent: bool) -> bool:
        """Whether a reason to look is followed up now. An urgent one is followed up on credit."""
        episode = self.episodes.get(why)
        if episode is None or rows - episode.last > CALM:
            episode = self.episodes[why] = Episode(rows, rows, rows)
        episode.last = rows
        if rows < episode.next_look:
            return False
        kind = "eval" if why == "eval" else "quick"
        if not (self.quick.credit >= cost(rows, kind) or (urgent and self.can_owe)):
            return False
        episode.next_look = rows + 1 + (rows - episode.since) // 3
        return True

    @property
    def can_owe(self) -> bool:
        return self.quick.credit > -self.debt

    def looked(self, rows: int, kind: str) -> None:
        accounts = {"full": self.full, "flat": self.flat}
        accounts.get(kind, self.quick).credit -= cost(rows, kind)
        if kind == "full":
            self.next_full = max(rows + 1, GROWTH * rows)
