"""Removing what several processes repeat: each row of a run counts once."""

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
_OF_ALL = ("train/lr", "train/grad_norm")  # equal in all processes at a step
_RANK = re.compile(r"\b[Rr]ank[ :=#]{0,2}(\d+)")
_TIME = re.compile(r"(?:\d{4}[-/]\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d(?:[,.]\d+)?")
_SCALE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")

Ints = NDArray[np.int64]


def keep_one_writer(blocks: Iterable[Block]) -> tuple[list[Block], list[str]]:
    """Return the rows of one process where several wrote at the same time, and notes.

    Rows without a writer's prefix are kept. Processes that wrote one after the other, as after a
    restart, count as one.
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
            chosen, others = _choose(marked, spans)
            kept.append(chosen)
            dropped |= others
    notes = []
    if dropped:
        notes.append(f"{len(dropped) + 1} processes wrote the same rows: those of one are used")
    return kept, notes


def _spans(blocks: Iterable[Block]) -> dict[str, tuple[float, float]]:
    """Return the first and the last line of each writer."""
    spans: dict[str, tuple[float, float]] = {}
    for block in blocks:
        lines = block.place_table()[:, LINE]
        low, high = spans.get(block.writer, (np.inf, -np.inf))
        spans[block.writer] = (min(low, float(lines[0])), max(high, float(lines[-1])))
    return spans


def _choose(
    marked: Sequence[Block], spans: dict[str, tuple[float, float]]
) -> tuple[Block, set[str]]:
    """Return the block of the main writer joined with its successors', and the writers left out."""
    if _are_steps(marked):
        return _join(marked, stepped=True), set()
    main = min(marked, key=lambda block: (-len(block), _number_of(block.writer)))
    first, last = spans[main.writer]
    apart = [one for one in marked if spans[one.writer][1] < first or spans[one.writer][0] > last]
    others = {one.writer for one in marked if one is not main} - {one.writer for one in apart}
    return _join([main, *apart]) if apart else main, others


def _are_steps(marked: Sequence[Block]) -> bool:
    """Return whether the prefixes are steps and no processes: '40: {...}', '50: {...}'."""
    numbers = [block.writer.rstrip(":") for block in marked]
    if len(marked) < 3 or not all(number.isdigit() for number in numbers):
        return False
    ordered = sorted(marked, key=lambda block: block.places[LINE])
    values = [int(block.writer.rstrip(":")) for block in ordered]
    alone = all(len(block) == 1 and block.places[STEP] != block.places[STEP] for block in marked)
    return alone and all(one < other for one, other in pairwise(values))


def _join(blocks: Sequence[Block], stepped: bool = False) -> Block:
    """Return the rows of several blocks as one, by line; if ``stepped``, prefixes are steps."""
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


def _number_of(writer: str) -> tuple[int, ...]:
    """Return a sort key: the last number in a prefix, which is usually the rank."""
    return tuple(int(number) for number in _NUMBER.findall(writer)[-1:])


def keep_one_of_each(part: Part) -> tuple[Part, int]:
    """Return the part with one row of each group of equal rows, and the size of a group.

    Several processes without prefixes print each line several times: all groups have one size,
    only the last may be incomplete. Their losses may differ if learning rate or gradient norm
    show that the step is the same. If the loss hardly changes from group to group either, equal
    rows are a constant loss, so all rows are kept and the size is 1.
    """
    keys = part.block.keys
    losses = [at for at, key in enumerate(keys) if key.endswith("loss")]
    shared = [at for at, key in enumerate(keys) if names.canonical(key) in _OF_ALL]
    if np.all(part.places[:, EPOCH] == np.floor(part.places[:, EPOCH])):
        # a learning rate set per epoch does not identify a step
        shared = [at for at in shared if names.canonical(keys[at]) != "train/lr"]
    for compared, judged in ((range(len(keys)), losses), (shared, shared)):
        begins, size = _groups(part, compared)
        values = part.values[begins][:, judged]
        if size > 1 and judged and np.mean(_equal(values).all(axis=1)) <= 0.5:
            return Part(part.block, part.values[begins], part.places[begins]), size
    return part, 1


def _groups(part: Part, compared: Sequence[int]) -> tuple[Ints, int]:
    """Return the first row of each group of equal rows, and the size of groups; 1 if it varies."""
    columns = [part.values[:, list(compared)], part.places[:, [STEP, EPOCH]]]
    same = _equal(np.concatenate(columns, axis=1)).all(axis=1)
    begins = np.flatnonzero(~np.concatenate([[False], same]))
    sizes = np.diff([*begins, part.places.shape[0]])
    size = int(sizes[0])
    alike = sizes.size >= 3 and bool(np.all(sizes[:-1] == size)) and sizes[-1] <= size
    return begins, size if alike else 1


def _equal(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return, for all rows but the first, which numbers equal those of the row before."""
    same: NDArray[np.bool_] = table[1:] == table[:-1]
    return same | (np.isnan(table[1:]) & np.isnan(table[:-1]))


def split_closings(part: Part) -> list[Part]:
    """Return the part split into rows of steps and rows that repeat the last step of an epoch.

    The latter hold means over the epoch. Without such rows the part is returned alone.
    """
    steps, epochs = part.places[:, STEP], part.places[:, EPOCH]
    again = np.concatenate([[False], np.diff(steps) == 0]) if steps.size else steps > 0
    at = np.flatnonzero(again)
    if part.block.split or not at.size or 3 * at.size > steps.size or np.any(np.diff(at) == 1):
        return [part]
    if np.isfinite(epochs).all():
        ends = np.append(np.diff(epochs) > 0, True)
        close = bool(np.all(ends[at]) and np.all(epochs[at] == epochs[at - 1]))
    else:  # at regular intervals
        close = at.size > 1 and np.unique(np.diff(steps[at])).size == 1
    if not close:
        return [part]
    return [
        Part(part.block, part.values[~again], part.places[~again]),
        Part(part.block, part.values[again], part.places[again], closing=True),
    ]


def drop_repeated_skips(events: Sequence[ConsoleEvent]) -> list[ConsoleEvent]:
    """Return the events with skipped steps that several processes report kept once."""
    skips = [one for one in events if one.kind == SKIPPED]
    counts = Counter(who for one in skips if (who := _who(one)))
    if len(counts) > 1:
        chosen = counts.most_common(1)[0][0]
        out = {id(one) for one in skips if _who(one) not in ("", chosen)}
    else:
        out = {id(one) for one in _repeats(skips)}
    return [one for one in events if id(one) not in out]


def _repeats(skips: Sequence[ConsoleEvent]) -> list[ConsoleEvent]:
    """Return the events that repeat the line before, where one process would print it once."""
    bunches: list[list[ConsoleEvent]] = []
    for one in skips:
        last = bunches[-1][-1] if bunches else None
        if last and one.line - last.line <= 1 and _bare(one.text) == _bare(last.text):
            bunches[-1].append(one)
        else:
            bunches.append([one])
    sizes = {len(bunch) for bunch in bunches}
    uniform = len(bunches) >= 3 and len(sizes) == 1
    repeated = [bunch for bunch in bunches if uniform or _lowers_scale(bunch[0].text)]
    return [one for bunch in repeated for one in bunch[1:]]


def _who(one: ConsoleEvent) -> str:
    marked = _RANK.search(one.text)
    return one.writer or (marked[1] if marked else "")


def _bare(text: str) -> str:
    return _RANK.sub("", _TIME.sub("", text))


def _lowers_scale(text: str) -> bool:
    """Return whether a line reports a lowered loss scale; another step would report another one."""
    if "educing" not in text or "hysteresis" in text:
        return False
    scales = [float(number) for number in _SCALE.findall(_bare(text))[-2:]]
    return len(scales) > 1 and scales[0] > scales[1]
