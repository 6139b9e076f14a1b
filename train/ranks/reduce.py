"""Gradients of several ranks summed: each has divided by the tokens of all ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch

from train.ranks.lost import nobody, together

_PIECE = 1 << 24  # numbers that are copied at a time


class Reduce(Protocol):
    """What a step needs of the other ranks."""

    def totals(self, counts: Sequence[int]) -> list[int]: ...

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None: ...


class AllReduce:
    """Sums over flat copies of a bounded size."""

    def __init__(self, group: Any = None, who: Callable[[], str] = nobody) -> None:
        import torch.distributed as dist

        self._dist, self._group, self._who = dist, group, who

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Return the numbers over all ranks."""
        total = torch.tensor(list(counts))
        self._reduce(total)
        return [int(each) for each in total]

    def sum_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all ranks."""
        for piece in _pieces(tensors):
            flat = torch.cat([each.reshape(-1) for each in piece])
            self._reduce(flat)
            sizes = [each.numel() for each in piece]
            for each, part in zip(piece, torch.split(flat, sizes), strict=True):
                each.copy_(part.view_as(each))

    def _reduce(self, tensor: torch.Tensor) -> None:
        with together(self._who):
            self._dist.all_reduce(tensor, group=self._group)


def _pieces(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    piece: list[torch.Tensor] = []
    held = 0
    for each in tensors:
        if piece and held + each.numel() > _PIECE:
            yield piece
            piece, held = [], 0
        piece.append(each)
        held += each.numel()
    if piece:
        yield piece
