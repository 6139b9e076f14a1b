"""What the data path hands on: Sample, Batch, and what is known of a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Row = Mapping[str, object]
IGNORE = -100  # label of a position that is not supervised


def parse_json(text: str) -> object:
    """Return what JSON says; a number of more digits than Python reads stays text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=lambda word: int(word) if len(word) < 4000 else word)


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

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the same batch on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in ("input_ids", "labels", "position_ids", "cu_seqlens")
        }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """Return the same batch in page-locked memory; torch's loader asks for it by this name."""
        names = ("input_ids", "labels", "position_ids", "cu_seqlens")
        return replace(self, **{name: getattr(self, name).pin_memory() for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """What a model can take in: ``positions`` it has an embedding for (None: any number),
    ``trained_positions`` it was made for, ``vocabulary`` rows of its token embedding."""

    name: str = "the model"
    positions: int | None = None
    trained_positions: int | None = None
    vocabulary: int | None = None


ANY_LENGTH = ModelLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a run is trained on. Of a stream only its first rows are known (``probed``).

    ``samples`` are what is trained on; ``all_masked`` were dropped, because nothing in them is
    supervised (no answer, or it was cut off). ``truncated`` lost their end to the length limit.
    ``unsupervised_turns``: assistant turns that could not be found in the rendered chat.
    ``efficiency``: how full the packed rows are, 1 without packing.
    """

    samples: int
    rows: int
    tokens: int
    supervised: int
    all_masked: int = 0
    truncated: int = 0
    unsupervised_turns: int = 0
    lengths: Mapping[int, int] = field(default_factory=dict)  # percentile: tokens
    packed_sequence_size: int = 0
    efficiency: float = 1.0
    probed: bool = False
