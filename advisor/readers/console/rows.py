"""Rows of numbers found in a console log, kept by shape so that a million of them stay small."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NAN = float("nan")
LINE, STEP, TOTAL, EPOCH, BAR, BAR_TOTAL = range(6)  # columns of a table of places

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where in the run a row stands, as far as its line says so; NaN where it does not."""

    line: float
    step: float = NAN
    total: float = NAN  # the '4500' of 'step 100/4500'
    epoch: float = NAN
    bar: float = NAN  # the progress bar last seen, and its end
    bar_total: float = NAN


@dataclass(slots=True)
class Block:
    """All rows of one shape: the same keys in the same kind of line."""

    kind: str  # 'dict', 'pairs' or 'progress'
    split: str  # '' where the keys tell, otherwise 'eval' or 'eval/<set>'
    keys: tuple[str, ...]
    writer: str = ""  # the mark of the process that wrote the rows, where lines have one
    flat: array[float] = field(default_factory=lambda: array("d"))
    places: array[float] = field(default_factory=lambda: array("d"))

    def add(self, values: Iterable[float], place: RowPlace) -> None:
        self.flat.extend(values)
        self.places.extend(
            (place.line, place.step, place.total, place.epoch, place.bar, place.bar_total)
        )

    def __len__(self) -> int:
        return len(self.places) // 6

    def table(self) -> Floats:
        """Return values as ``(rows, keys)``."""
        return np.array(self.flat, dtype=np.float64).reshape(len(self), len(self.keys))

    def place_table(self) -> Floats:
        """Places as ``(rows, 6)``: line, step, total, epoch, bar, bar_total."""
        return np.array(self.places, dtype=np.float64).reshape(-1, 6)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one block that belong to one run."""

    block: Block
    values: Floats
    places: Floats
    closing: bool = False  # means at the end of epochs, at the steps of rows before them


@dataclass(slots=True)
class Rows:
    """The blocks of one log by shape."""

    blocks: dict[tuple[str, str, tuple[str, ...], str], Block] = field(default_factory=dict)

    def block(self, kind: str, split: str, keys: Sequence[str], writer: str = "") -> Block:
        shape = (kind, split, tuple(keys), writer)
        found = self.blocks.get(shape)
        if found is None:
            found = self.blocks[shape] = Block(*shape)
        return found
