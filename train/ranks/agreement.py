"""Agreement of all ranks: on the first one's value, or on the highest of all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import torch

from train.advice.decide import Decision
from train.ranks.lost import nobody, together


class Ranks(Protocol):
    """All ranks must ask the same, after the same step."""

    def agree(self, decision: Decision | None) -> Decision | None:
        """Return the first rank's decision."""

    def share(self, value: Any) -> Any:
        """Return the first rank's value, which must be of JSON types."""

    def most(self, number: int) -> int:
        """Return the highest of all numbers."""


class Alone:
    """One process."""

    def agree(self, decision: Decision | None) -> Decision | None:
        return decision

    def share(self, value: Any) -> Any:
        return value

    def most(self, number: int) -> int:
        return number


class JoinedRanks:
    """Ranks of a process group that takes tensors of the CPU: a few bytes a step.

    Nothing of it touches the device, so no step waits for it to finish its work.
    """

    def __init__(self, group: Any = None, who: Callable[[], str] = nobody) -> None:
        import torch.distributed as dist

        self._dist, self._group, self._who = dist, group, who
        self._first = dist.get_rank(group) == 0

    def agree(self, decision: Decision | None) -> Decision | None:
        found = self.share(asdict(decision) if decision else None)
        return Decision(**found) if found else None

    def share(self, value: Any) -> Any:
        said = json.dumps(value).encode() if self._first else b""
        size = torch.tensor([len(said)])
        with together(self._who):
            self._dist.broadcast(size, 0, group=self._group)
        held = torch.zeros(int(size), dtype=torch.uint8)
        if self._first:
            held = torch.frombuffer(bytearray(said), dtype=torch.uint8)
        with together(self._who):
            self._dist.broadcast(held, 0, group=self._group)
        return json.loads(held.numpy().tobytes())

    def most(self, number: int) -> int:
        highest = torch.tensor([number])
        with together(self._who):
            self._dist.all_reduce(highest, self._dist.ReduceOp.MAX, group=self._group)
        return int(highest)
