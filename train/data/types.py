"""What the data path hands on: Sample and Batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

IGNORE = -100  # label of a position that is not supervised


@dataclass(frozen=True, slots=True)
class Sample:
    """One tokenised example. ``labels`` is not shifted: labels[i] is input_ids[i] or IGNORE."""

    input_ids: list[int]
    labels: list[int]

    @property
    def supervised(self) -> int:
        """How many tokens are learnt; the first token of a row is never predicted."""
        return sum(label != IGNORE for label in self.labels[1:])


@dataclass(frozen=True, slots=True)
class Batch:
    """One micro-batch, laid end to end: documents never see each other.

    All documents of the batch's rows stand in one row without padding: ``input_ids``,
    ``labels`` and ``position_ids`` have shape ``(1, tokens)``; labels[0, i] is the token to be
    predicted AT position i (already shifted within its document; the last position of each is
    IGNORE); ``cu_seqlens`` (int32, shape ``(documents + 1,)``) are the borders of the documents.
    ``rows`` counts rows in the sense of global_batch_size, ``samples`` examples.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: torch.Tensor
    rows: int
    samples: int
    supervised: int
    longest: int  # tokens of the longest document
