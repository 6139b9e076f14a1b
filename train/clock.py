"""Measure where the time of a step goes, without an extra device synchronisation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

PHASES = ("data", "forward", "backward", "optimizer")


class Clock(Protocol):
    """``mark`` adds the time since the last mark to a phase; ``take`` returns the sums and resets
    them."""

    def start(self) -> None: ...

    def mark(self, phase: str) -> None: ...

    def take(self) -> dict[str, float]: ...


class HostClock:
    """For the CPU, where the work is done when the call returns."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._spent = dict.fromkeys(PHASES, 0.0)

    def start(self) -> None:
        self._last = time.perf_counter()

    def mark(self, phase: str) -> None:
        now = time.perf_counter()
        self._spent[phase] += now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        spent, self._spent = self._spent, dict.fromkeys(PHASES, 0.0)
        return spent


class Mark(Protocol):
    """The part of torch.cuda.Event that is used."""

    def record(self) -> None: ...

    def query(self) -> bool: ...

    def elapsed_time(self, end: object, /) -> float: ...


class DeviceClock:
    """For a GPU: events in its queue, read once it has passed them.

    Nothing waits for an event. What the device has not reached when a step is taken, the end of
    the optimiser as a rule, is counted to the step after.
    """

    def __init__(self, new_mark: Callable[[], Mark]) -> None:
        self._new_mark = new_mark
        self._last: Mark | None = None
        self._open: list[tuple[str, Mark, Mark]] = []

    def start(self) -> None:
        self._last = self._new_mark()
        self._last.record()

    def mark(self, phase: str) -> None:
        now = self._new_mark()
        now.record()
        if self._last is not None:
            self._open.append((phase, self._last, now))
        self._last = now

    def take(self) -> dict[str, float]:
        spent = dict.fromkeys(PHASES, 0.0)
        reached = 0
        for phase, begin, end in self._open:
            if not end.query():
                break
            spent[phase] += begin.elapsed_time(end) / 1000
            reached += 1
        del self._open[:reached]
        return spent
