"""Find ranks that lag: their own work takes a multiple of the others', window after window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch

from train.ranks.lost import nobody, together

TIMES = 1.5  # the others' time: a rank that slow costs a third of all machines
LOOKS = 2  # in a row: one slow look may be a garbage collection or a cold file


@dataclass(frozen=True, slots=True)
class Lag:
    """A rank that began to lag, or caught up again."""

    rank: int
    times: float
    over: bool = False

    @property
    def text(self) -> str:
        if self.over:
            return f"rank {self.rank} keeps up again"
        return (
            f"rank {self.rank} lags: its own work takes {self.times:.1f} times the others'; "
            "all wait for it"
        )


@dataclass(slots=True)
class LagWatch:
    """Compares the seconds of all ranks, window by window."""

    _slow: dict[int, int] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)

    def look(self, seconds: Sequence[float]) -> list[Lag]:
        """Return what is new; ``seconds`` of own work by rank."""
        found = []
        for rank, own in enumerate(seconds):
            others = [each for at, each in enumerate(seconds) if at != rank]
            times = own / max(median(others), 1e-9) if others else 1.0
            self._slow[rank] = self._slow.get(rank, 0) + 1 if times >= TIMES else 0
            if self._slow[rank] >= LOOKS and rank not in self._told:
                self._told.add(rank)
                found.append(Lag(rank, times))
            elif not self._slow[rank] and rank in self._told:
                self._told.discard(rank)
                found.append(Lag(rank, times, over=True))
        return found


class Timings:
    """Sums the seconds of a rank's own work, and exchanges them once a window of steps.

    Waiting for the others is no work: with it all ranks would take the same time.
    """

    def __init__(self, every: int, group: Any = None, who: Callable[[], str] = nobody) -> None:
        import torch.distributed as dist

        self._dist, self._group, self._who, self._every = dist, group, who, every
        self._watch, self._sum = LagWatch(), 0.0

    def add(self, step: int, seconds: float) -> list[Lag]:
        """Add the seconds of a step; return what the first rank has to report."""
        self._sum += seconds
        if (step + 1) % self._every:
            return []
        mine, self._sum = torch.tensor([self._sum], dtype=torch.float64), 0.0
        size = self._dist.get_world_size(self._group)
        everyone = [torch.zeros_like(mine) for _ in range(size)]
        with together(self._who):
            self._dist.all_gather(everyone, mine, group=self._group)
        first = self._dist.get_rank(self._group) == 0
        return self._watch.look([float(each) for each in everyone]) if first else []
