"""Batches of samples written by hand."""

from __future__ import annotations

from collections.abc import Sequence

from train.data.collate import collate_documents
from train.data.store import document_of
from train.data.types import Batch, Sample


def collate(rows: Sequence[Sequence[Sample]]) -> Batch:
    """A micro-batch of the rows, each of which is one sample or, packed, several."""
    return collate_documents([[document_of(sample) for sample in row] for row in rows])
