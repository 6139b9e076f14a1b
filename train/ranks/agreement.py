"""One decision for all ranks: the first one's."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Protocol

import torch

from train.advice.decide import Decision


class Ranks(Protocol):
    """``agree`` gives every rank the first one's decision; all must ask after the same step."""

    def agree(self, decision: Decision | None) -> Decision | None: ...


class Alone:
    """One process."""

    def agree(self, decision: Decision | None) -> Decision | None:
        return decision


class Broadcast:
    """Ranks of a process group of CPU tensors (gloo): 8 bytes a step, more where one decides.

    Nothing of it touches the device, so no step waits for it to finish its work.
    """

    def __init__(self, group: Any = None) -> None:
        import torch.distributed as dist

        self._dist, self._group = dist, group
        self._first = dist.get_rank(group) == 0

    def agree(self, decision: Decision | None) -> Decision | None:
        """Return the first rank's decision."""
        said = json.dumps(asdict(decision)).encode() if self._first and decision else b""
        size = torch.tensor([len(said)])
        self._dist.broadcast(size, 0, group=self._group)
        if not int(size):
            return None
        held = torch.zeros(int(size), dtype=torch.uint8)
        if self._first:
            held = torch.frombuffer(bytearray(said), dtype=torch.uint8)
        self._dist.broadcast(held, 0, group=self._group)
        return Decision(**json.loads(held.numpy().tobytes()))
