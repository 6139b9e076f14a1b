"""Rows that several processes wrote: each is one row of the run, and counts once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from advisor.readers import names
from advisor.readers.console.events import ConsoleEvent
from advisor.readers.console.rows import EPOCH, LINE, STEP, Block, Part

SKIPPED = "overflow_skip"
_NUMBER = re.compile(r"\d+")
_OF_ALL = ("train/lr", "train/grad_norm")  # what all processes of a step have in common
_RANK = re.compile(r"\b[Rr]ank[ :=#]{0,2}(\d+)")
_TIME = re.compile(r"(?:\d{4}[-/]\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d(?:[,.]\d+)?")
_SCALE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")

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
    """Return the first and the last line of each writer."""
    spans: dict[str, tuple[float, float]] = {}
    for block in blocks:
        lines = block.place_table()[:, LINE]
        low, high = spans.get(block.writer, (np.inf, -np.inf))
        spans[block.writer] = (min(low, float(lines[0])), max(high, float(lines[-1])))
    return spans


def _chosen(
    marked: Sequence[Block], spans: dict[str, tuple[float, float]]
) -> tuple[Block, set[str]]:
    """Return the block of the main writer with those of its successors, and who was left out."""
    if _counts(marked):
        return _join(marked, stepped=True), set()
    main = min(marked, key=lambda block: (-len(block), _natural(block.writer)))
    first, last = spans[main.writer]
    apart = [one for one in marked if spans[one.writer][1] < first or spans[one.writer][0] > last]
    others = {one.writer for one in marked if one is not main} - {one.writer for one in apart}
    return _join([main, *apart]) if apart else main, others


def _counts(marked: Sequence[Block]) -> bool:
    """Return whether the marks are no processes but the steps of the rows: '40: {...}', '50:
    {...}'."""
    numbers = [block.writer.rstrip(":") for block in marked]
    if len(marked) < 3 or not all(number.isdigit() for number in numbers):
        return False
    ordered = sorted(marked, key=lambda block: block.places[LINE])
    values = [int(block.writer.rstrip(":")) for block in ordered]
    alone = all(len(block) == 1 and block.places[STEP] != block.places[STEP] for block in marked)
    return alone and all(one < other for one, other in pairwise(values))


def _join(blocks: Sequence[Block], stepped: bool = False) -> Block:
    """Return one block of the rows of several, in the order of their lines."""
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


def keep_one_of_each(part: Part) -> tuple[Part, int]:
    """Keep one of each group of equal lines, and how many make a group; 1 where none repeat.

    Several processes print what one would: groups of one size throughout, only the last may be
    cut off. Their losses may differ where rate or gradient norm show that the step is one. A
    loss that hardly changes from group to group is a loss that stays, and every row is kept.
    """
    keys = part.block.keys
    losses = [at for at, key in enumerate(keys) if key.endswith("loss")]
    shared = [at for at, key in enumerate(keys) if names.canonical(key) in _OF_ALL]
    if np.all(part.places[:, EPOCH] == np.floor(part.places[:, EPOCH])):
        shared = [at for at in shared if names.canonical(keys[at]) != "train/lr"]  # set by epoch
    for told, judged in ((range(len(keys)), losses), (shared, shared)):
        begins, size = _groups(part, told)
        values = part.values[begins][:, judged]
        if size > 1 and judged and np.mean(_equal(values).all(axis=1)) <= 0.5:
            return Part(part.block, part.values[begins], part.places[begins]), size
    return part, 1


def _groups(part: Part, told: Sequence[int]) -> tuple[Ints, int]:
    """Return where groups of equal rows begin, and their size; 1 where it varies."""
    columns = [part.values[:, list(told)], part.places[:, [STEP, EPOCH]]]
    same = _equal(np.concatenate(columns, axis=1)).all(axis=1)
    begins = np.flatnonzero(~np.concatenate([[False], same]))
    sizes = np.diff([*begins, part.places.shape[0]])
    size = int(sizes[0])
    alike = sizes.size >= 3 and bool(np.all(sizes[:-1] == size)) and sizes[-1] <= size
    return begins, size if alike else 1


def _equal(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each number is that of the row before it."""
    same: NDArray[np.bool_] = table[1:] == table[:-1]
    return same | (np.isnan(table[1:]) & np.isnan(table[:-1]))


def without_closings(part: Part) -> list[Part]:
    """Return the rows of steps, and those that repeat an epoch's last step."""
    steps, epochs = part.places[:, STEP], part.places[:, EPOCH]
    again = np.concatenate([[False], np.diff(steps) == 0]) if steps.size else steps > 0
    at = np.flatnonzero(again)
    if part.block.split or not at.size or 3 * at.size > steps.size or np.any(np.diff(at) == 1):
        return [part]
    if np.isfinite(epochs).all():
        ends = np.append(np.diff(epochs) > 0, True)
        close = bool(np.all(ends[at]) and np.all(epochs[at] == epochs[at - 1]))
    else:  # as often as one another
        close = at.size > 1 and np.unique(np.diff(steps[at])).size == 1
    if not close:
        return [part]
    return [
        Part(part.block, part.values[~again], part.places[~again]),
        Part(part.block, part.values[again], part.places[again], closing=True),
    ]


def drop_repeated_skips(events: Sequence[ConsoleEvent]) -> list[ConsoleEvent]:
    """Of skipped steps that several processes tell of, those that one of them tells."""
    skips = [one for one in events if one.kind == SKIPPED]
    counts = Counter(who for one in skips if (who := _who(one)))
    if len(counts) > 1:
        chosen = counts.most_common(1)[0][0]
        out = {id(one) for one in skips if _who(one) not in ("", chosen)}
    else:
        out = {id(one) for one in _told_again(skips)}
    return [one for one in events if id(one) not in out]


def _told_again(skips: Sequence[ConsoleEvent]) -> list[ConsoleEvent]:
    """Return the lines that follow an equal one, where one process would not print it twice."""
    bunches: list[list[ConsoleEvent]] = []
    for one in skips:
        last = bunches[-1][-1] if bunches else None
        if last and one.line - last.line <= 1 and _bare(one.text) == _bare(last.text):
            bunches[-1].append(one)
        else:
            bunches.append([one])
    sizes = {len(bunch) for bunch in bunches}
    uniform = len(bunches) >= 3 and len(sizes) == 1
    return [one for bunch in bunches if uniform or _reduces(bunch[0].text) for one in bunch[1:]]


def _who(one: ConsoleEvent) -> str:
    marked = _RANK.search(one.text)
    return one.writer or (marked[1] if marked else "")


def _bare(text: str) -> str:
    return _RANK.sub("", _TIME.sub("", text))


def _reduces(text: str) -> bool:
    """Return whether the line tells of a scale that comes down: the next one starts from there."""
    if "educing" not in text or "hysteresis" in text:
        return False
    scales = [float(number) for number in _SCALE.findall(_bare(text))[-2:]]
    return len(scales) > 1 and scales[0] > scales[1]
