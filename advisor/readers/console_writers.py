"""Rows that several processes wrote: each is one row of the run, and counts once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from advisor.readers.console_rows import EPOCH, LINE, STEP, Block, Part

MOST_WRITERS = 4096
_NUMBER = re.compile(r"\d+")

Ints = NDArray[np.int64]


def one_writer(blocks: Iterable[Block]) -> tuple[list[Block], list[str]]:
    """Keep one process's rows of each shape where several wrote at the same time, and say so.

    Rows without a writer's mark are kept. Processes that wrote one after the other, as after a
    restart, are one.
    """
    by_shape: dict[tuple[str, str, tuple[str, ...]], list[Block]] = {}
    for block in blocks:
        by_shape.setdefault((block.kind, block.split, block.keys), []).append(block)
    spans = _spans(block for same in by_shape.values() for block in same)
    kept: list[Block] = []
    dropped: set[str] = set()
    for same in by_shape.values():
        kept += [block for block in same if not block.writer]
        marked = [block for block in same if block.writer]
        if marked:
            chosen, others = _chosen(marked, spans)
            kept.append(chosen)
            dropped |= others
    notes = []
    if dropped:
        notes.append(f"{len(dropped) + 1} processes wrote the same rows: those of one are read")
    return kept, notes


def _spans(blocks: Iterable[Block]) -> dict[str, tuple[float, float]]:
    """The first and the last line of each writer."""
    spans: dict[str, tuple[float, float]] = {}
    for block in blocks:
        lines = block.place_table()[:, LINE]
        low, high = spans.get(block.writer, (np.inf, -np.inf))
        spans[block.writer] = (min(low, float(lines[0])), max(high, float(lines[-1])))
    return spans


def _chosen(
    marked: Sequence[Block], spans: dict[str, tuple[float, float]]
) -> tuple[Block, set[str]]:
    """The block of the main writer with those of its successors, and who was left out."""
    if _counts(marked):
        return _joined(marked, stepped=True), set()
    main = min(marked, key=lambda block: (-len(block), _natural(block.writer)))
    first, last = spans[main.writer]
    apart = [one for one in marked if spans[one.writer][1] < first or spans[one.writer][0] > last]
    others = {one.writer for one in marked if one is not main} - {one.writer for one in apart}
    return _joined([main, *apart]) if apart else main, others


def _counts(marked: Sequence[Block]) -> bool:
    """Whether the marks are no processes but the steps of the rows: '40: {...}', '50: {...}'."""
    numbers = [block.writer.rstrip(":") for block in marked]
    if len(marked) < 3 or not all(number.isdigit() for number in numbers):
        return False
    ordered = sorted(marked, key=lambda block: block.places[LINE])
    values = [int(block.writer.rstrip(":")) for block in ordered]
    alone = all(len(block) == 1 and block.places[STEP] != block.places[STEP] for block in marked)
    return alone and all(one < other for one, other in pairwise(values))


def _joined(blocks: Sequence[Block], stepped: bool = False) -> Block:
    """One block of the rows of several, in the order of their lines."""
    first = blocks[0]
    places = np.concatenate([block.place_table() for block in blocks])
    if stepped:
        places[:, STEP] = [float(block.writer.rstrip(":")) for block in blocks]
    order = np.argsort(places[:, LINE], kind="stable")
    table = np.concatenate([block.table() for block in blocks])[order]
    joined = Block(first.kind, first.split, first.keys)
    joined.flat.frombytes(table.tobytes())
    joined.places.frombytes(places[order].tobytes())
    return joined


def _natural(writer: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBER.findall(writer)[-1:])


def printed_once(part: Part) -> tuple[Part, int]:
    """Keep one of each group of equal lines, and how many make a group; 1 where none repeat.

    Several processes print what one would: groups of one size throughout, only the last may be
    cut off. A loss that hardly changes from group to group is a loss that stays, and every row
    of it is kept.
    """
    rows, same = part.places.shape[0], _equal_to_last(part)
    begins = np.flatnonzero(~same)
    sizes = np.diff([*begins, rows])
    size = int(sizes[0])
    if size < 2 or sizes.size < 3 or np.any(sizes[:-1] != size) or sizes[-1] > size:
        return part, 1
    losses = [at for at, key in enumerate(part.block.keys) if key.endswith("loss")]
    values = part.values[begins][:, losses]
    if not losses or np.mean(_equal(values).all(axis=1)) > 0.5:
        return part, 1
    return Part(part.block, part.values[begins], part.places[begins]), size


def _equal_to_last(part: Part) -> NDArray[np.bool_]:
    told = np.concatenate([part.values, part.places[:, [STEP, EPOCH]]], axis=1)
    return np.concatenate([[False], _equal(told).all(axis=1)])


def _equal(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each number is that of the row before it."""
    same: NDArray[np.bool_] = table[1:] == table[:-1]
    return same | (np.isnan(table[1:]) & np.isnan(table[:-1]))
