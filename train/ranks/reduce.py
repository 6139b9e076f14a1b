"""Gradients of several ranks made one: each has divided by the tokens of all, so sums do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import torch

from train.data.types import Batch


class Reduce(Protocol):
    """What a step needs of the other ranks."""

    def count(self, tokens: int) -> int: ...

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None: ...


class AllReduce:
    """One sum over a flat copy of all gradients; ``waited`` adds up the seconds within it."""

    def __init__(self, group: Any = None) -> None:
        import torch.distributed as dist

        self._dist, self._group = dist, group
        self.waited = 0.0

    def count(self, tokens: int) -> int:
        """Return the number over all ranks."""
        total = torch.tensor([tokens])
        self._reduce(total)
        return int(total)

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all ranks."""
        flat = torch.cat([each.reshape(-1) for each in tensors])
        self._reduce(flat)
        sizes = [each.numel() for each in tensors]
        for each, part in zip(tensors, torch.split(flat, sizes), strict=True):
            each.copy_(part.view_as(each))

    def _reduce(self, tensor: torch.Tensor) -> None:
        began = time.perf_counter()
        self._dist.all_reduce(tensor, group=self._group)
        self.waited += time.perf_counter() - began


class Sharded:
    """Every n-th micro-batch of a loader. Batches are drawn in groups, so that all ranks are at
    one place in the data; a last group that is not full is left out."""

    def __init__(self, loader: Any, rank: int, size: int) -> None:
        self._loader, self._rank, self._size = loader, rank, size

    @property
    def batches_per_epoch(self) -> int | None:
        whole: int | None = self._loader.batches_per_epoch
        return None if whole is None else whole // self._size

    def set_epoch(self, epoch: int) -> None:
        self._loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        while len(group := list(islice(batches, self._size))) == self._size:
            yield group[self._rank]

    def state_dict(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._loader.state_dict()
        return found

    def load_state_dict(self, state: Any) -> None:
        self._loader.load_state_dict(state)
