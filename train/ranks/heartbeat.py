"""Find ranks that are gone: each counts up in a shared store, and the first watches the counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

INTERVAL, LIMIT = 1.0, 20.0  # seconds between beats; without one for so long a rank is lost
_ENDED = "ended"


class KeyValueStore(Protocol):
    """The part of torch.distributed's stores that is used; a client of its own, since a thread uses
    it."""

    def set(self, key: str, value: str, /) -> None: ...

    def get(self, key: str, /) -> bytes: ...

    def check(self, keys: list[str], /) -> bool: ...


class Heartbeat:
    """Beats from a thread; on the first rank it calls ``lost`` once for each rank that is gone.

    Counts are compared, not times of day: the clocks of two machines need not agree.
    """

    def __init__(
        self,
        store: KeyValueStore,
        rank: int,
        size: int,
        lost: Callable[[int, float], object] = lambda rank, seconds: None,
        interval: float = INTERVAL,
        limit: float = LIMIT,
    ) -> None:
        self._store, self._rank, self._size, self.lost = store, rank, size, lost
        self._interval, self._limit = interval, limit
        self._count = 0
        self._seen: dict[int, tuple[str, float]] = {}
        self._gone: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(self._limit)

    def silent(self) -> list[int]:
        """Wait for two beats, and return the ranks that made none; on the first rank only."""
        if self._rank or not self._thread.is_alive():
            return []
        self._over.wait(2.5 * self._interval)
        now = time.monotonic()
        return [
            rank
            for rank, (value, since) in self._seen.items()
            if value != _ENDED and now - since > 1.5 * self._interval
        ]

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self._beat(str(self._count))
                if self._rank == 0:
                    self._look(time.monotonic())
                self._over.wait(self._interval)
            self._beat(_ENDED)
        except RuntimeError:  # the store is gone with the rank that held it: the run is over
            return

    def _beat(self, value: str) -> None:
        self._count += 1
        self._store.set(f"beat/{self._rank}", value)

    def _look(self, now: float) -> None:
        for rank in range(1, self._size):
            key = f"beat/{rank}"
            value = self._store.get(key).decode() if self._store.check([key]) else ""
            before, since = self._seen.get(rank, ("", now))
            if value != before or rank not in self._seen:
                self._seen[rank] = value, now
            elif value != _ENDED and now - since > self._limit and rank not in self._gone:
                self._gone.add(rank)
                self.lost(rank, now - since)
