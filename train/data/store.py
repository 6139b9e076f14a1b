"""Tokenised samples in three flat arrays: five bytes a token, shared by loader workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.data.types import IGNORE, Sample


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One sample as arrays; ``learnt`` says which tokens are supervised."""

    ids: NDArray[np.int32]
    learnt: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SampleStore:
    """Samples end to end. ``keys`` are the hashes of their prompts."""

    ids: NDArray[np.int32]
    learnt: NDArray[np.bool_]
    ends: NDArray[np.int64]
    keys: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.keys)

    def document(self, at: int) -> StoredDocument:
        part = slice(int(self.ends[at]), int(self.ends[at + 1]))
        return StoredDocument(self.ids[part], self.learnt[part])

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.ends)

    def supervised(self) -> NDArray[np.int64]:
        """Supervised tokens of each sample; the first token is never predicted."""
        total = np.concatenate([[0], np.cumsum(self.learnt)])
        counts: NDArray[np.int64] = total[self.ends[1:]] - total[self.ends[:-1]]
        return counts - self.learnt[self.ends[:-1]]


class StoreBuilder:
    """Takes samples as they come; arrays of a chunk at a time, so that lists do not pile up."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.int32]] = []
        self._learnt: list[NDArray[np.bool_]] = []
        self._lengths: list[int] = []
        self._keys: list[int] = []

    def add(self, samples: Sequence[Sample], keys: Sequence[int]) -> None:
        documents = [document_of(sample) for sample in samples]
        if documents:
            self._ids.append(np.concatenate([d.ids for d in documents]))
            self._learnt.append(np.concatenate([d.learnt for d in documents]))
        self._lengths += [len(d.ids) for d in documents]
        self._keys += keys

    def build(self) -> SampleStore:
        return SampleStore(
            _concatenate(self._ids, np.int32),
            _concatenate(self._learnt, np.bool_),
            np.concatenate([[0], np.cumsum(np.array(self._lengths, dtype=np.int64))]),
            np.array(self._keys, dtype=np.uint64),
        )


def document_of(sample: Sample) -> StoredDocument:
    ids = np.array(sample.input_ids, dtype=np.int32)
    return StoredDocument(ids, np.array(sample.labels, dtype=np.int64) != IGNORE)


def _concatenate(parts: Iterable[NDArray], kind: type) -> NDArray:  # type: ignore[type-arg]
    return np.concatenate([np.empty(0, dtype=kind), *parts])
