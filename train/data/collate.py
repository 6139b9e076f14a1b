"""Join rows of samples into one Batch: end to end, with shifted labels and document borders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from train.data.store import StoredDocument
from train.data.types import IGNORE, Batch


def collate_documents(rows: Sequence[Sequence[StoredDocument]]) -> Batch:
    """Return a micro-batch of shape (1, tokens); a row is one document or, packed, several."""
    documents = [document for row in rows for document in row]
    lengths = np.array([len(document.ids) for document in documents], dtype=np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.concatenate([document.ids for document in documents]).astype(np.int64)
    learnt = np.concatenate([document.learnt for document in documents])
    labels = np.full(len(ids), IGNORE, dtype=np.int64)
    labels[:-1] = np.where(learnt[1:], ids[1:], IGNORE)
    labels[ends[1:] - 1] = IGNORE  # no document predicts the next one's first token
    positions = np.arange(len(ids)) - np.repeat(ends[:-1], lengths)
    return Batch(
        input_ids=torch.from_numpy(ids)[None],
        labels=torch.from_numpy(labels)[None],
        position_ids=torch.from_numpy(positions)[None],
        cu_seqlens=torch.from_numpy(ends.astype(np.int32)),
        rows=len(rows),
        samples=len(documents),
        supervised=int((labels != IGNORE).sum()),
        longest=int(lengths.max()),
    )
