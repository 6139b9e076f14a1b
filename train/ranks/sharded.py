"""A rank's part of the data: every n-th micro-batch, so that all ranks together take what one
would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from train.data.batches import Data
from train.data.types import IGNORE, Batch


class Sharded:
    """Batches are drawn in groups of one a rank, so all ranks are at one place in the data, and a
    run may be resumed with another number of them. Who gets none of the last group takes one
    that teaches nothing: all ranks take the same steps."""

    def __init__(self, loader: Any, rank: int, size: int) -> None:
        self._loader, self._rank, self._size = loader, rank, size

    @property
    def batches_per_epoch(self) -> int | None:
        whole: int | None = self._loader.batches_per_epoch
        return None if whole is None else -(-whole // self._size)

    def set_epoch(self, epoch: int) -> None:
        self._loader.set_epoch(epoch)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        while group := list(islice(batches, self._size)):
            yield group[self._rank] if self._rank < len(group) else _blank(group[0])

    def state_dict(self) -> dict[str, object]:
        found: dict[str, object] = self._loader.state_dict()
        return found

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        self._loader.load_state_dict(state)


def shard(data: Data, rank: int, size: int) -> Data:
    """Return the data of a rank."""
    if size == 1:
        return data
    held_out = None if data.validation is None else Sharded(data.validation, rank, size)
    return replace(data, train=Sharded(data.train, rank, size), validation=held_out)


def _blank(batch: Batch) -> Batch:
    labels = torch.full_like(batch.labels, IGNORE)
    return replace(batch, labels=labels, rows=0, samples=0, supervised=0)
