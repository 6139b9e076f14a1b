"""When to look at a run: at growing intervals and on suspicion, within a time budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 10  # rows before the first look
GROWTH = 1.3  # factor of rows from one full look to the next
FLAT_GROWTH, FLAT_LEAST = 1.08, 4  # the same, and least rows between, for looks at a flat loss
CALM = 20  # rows without a reason, after which the same reason counts as new
# Cost of a look in microseconds: fixed, and per point of the curves. Measured, see live_cost.md.
COSTS = {"full": (3000.0, 3.0), "quick": (1200.0, 1.9), "eval": (900.0, 1.0), "flat": (400.0, 0.6)}
MOST_POINTS = 4096


def estimate_cost(points: int, kind: str) -> float:
    """Return the estimated microseconds of a look.

    Measured times would make findings depend on the machine.
    """
    fixed, each = COSTS[kind]
    return fixed + each * min(points, MOST_POINTS)


@dataclass(slots=True)
class TimeBudget:
    """Microseconds that looks may cost. Every row and every second between rows adds to it."""

    start: float  # microseconds at the start
    row: float  # microseconds earned per row
    share: float  # of the time between rows that is earned, too
    most: float  # microseconds that can be saved up
    credit: float = 0.0  # microseconds left; below 0 after urgent looks
    rows: int = 0  # already counted
    seconds: float = 0.0  # already counted

    def __post_init__(self) -> None:
        self.credit = self.start

    def can_pay(self, asked: float, rows: int, seconds: float, debt: float = 0.0) -> bool:
        """Return whether a look of ``asked`` microseconds fits; ``debt`` may be overdrawn.

        ``rows`` and ``seconds`` are totals since the start of the run.
        """
        earned = self.row * (rows - self.rows) + self.share * 1e6 * (seconds - self.seconds)
        self.credit = min(self.most, self.credit + earned)
        self.rows, self.seconds = rows, seconds
        return self.credit >= asked or (debt > 0 and self.credit > -debt)


@dataclass(slots=True)
class Episode:
    """A reason to look that persists: the first look comes at once, later ones ever more rarely."""

    since: int  # row of its first occurrence
    last: int  # row of its last occurrence
    next_look: int  # row


@dataclass(slots=True)
class LookSchedule:
    """Decides at each row whether to look, within the budget of each kind of look."""

    clock: Callable[[], float]  # returns seconds
    full: TimeBudget = field(default_factory=lambda: TimeBudget(14e3, 9.0, 0.0005, 100e3))
    quick: TimeBudget = field(default_factory=lambda: TimeBudget(8e3, 13.0, 0.0004, 50e3))
    flat: TimeBudget = field(default_factory=lambda: TimeBudget(8e3, 8.0, 0.0001, 20e3))
    debt: float = 100e3  # microseconds that urgent looks may overdraw
    last_debt: float = 300e3  # ... and looks at a loss that is NaN, inf or 0, or at a failure
    next_full: float = FIRST  # row
    next_flat: float = 2 * FIRST  # row
    episodes: dict[str, Episode] = field(default_factory=dict)  # by reason
    last: float = 0.0  # clock at the last row
    rows: int = 0  # since the start
    seconds: float = 0.0  # since the start

    def start(self) -> None:
        """Start the clock."""
        self.last = self.clock()

    def pass_row(self) -> None:
        """Count a row and the time since the one before."""
        self.rows += 1
        now = self.clock()
        if now > self.last:
            self.seconds += now - self.last
        self.last = now

    def wants_full(self, rows: int) -> bool:
        """Return whether a full look is due and fits into the budget."""
        return rows >= self.next_full and self._is_affordable("full", rows)

    def wants_flat(self, rows: int) -> bool:
        """Return whether to check for a flat loss, which happens more often than a full look."""
        if rows < self.next_flat or not self._is_affordable("flat", rows):
            return False
        self.next_flat = max(rows + FLAT_LEAST, FLAT_GROWTH * rows)
        return True

    def _is_affordable(self, kind: str, rows: int, debt: float = 0.0) -> bool:
        account = {"full": self.full, "flat": self.flat}.get(kind, self.quick)
        return account.can_pay(estimate_cost(rows, kind), self.rows, self.seconds, debt)

    def wants_quick(self, rows: int, why: str, urgent: bool) -> bool:
        """Return whether to look now because of ``why``; urgent looks may overdraw the budget."""
        episode = self.episodes.get(why)
        if episode is None or rows - episode.last > CALM:
            episode = self.episodes[why] = Episode(rows, rows, rows)
        episode.last = rows
        if rows < episode.next_look:
            return False
        kind = "eval" if why == "eval" else "quick"
        debt = self.last_debt if why in ("nonfinite", "zero", "event") else self.debt
        if not self._is_affordable(kind, rows, debt if urgent else 0.0):
            return False
        episode.next_look = rows + 1 + (rows - episode.since) // 3
        return True

    def note_look(self, rows: int, kind: str) -> None:
        """Charge a look to its budget, and set the row of the next full one."""
        accounts = {"full": self.full, "flat": self.flat}
        accounts.get(kind, self.quick).credit -= estimate_cost(rows, kind)
        if kind == "full":
            self.next_full = max(rows + 1, GROWTH * rows)
