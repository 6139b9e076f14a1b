"""Reading the scalar summaries of an event file.

Records of one tag differ only in the bytes of time, step and value. One of them is parsed as
protobuf and serves as a template for the rest; records without enough like them are parsed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from advisor.readers.tfproto import Malformed, ProtoRecord, parse_record
from advisor.readers.tfrecord import Bytes, Frames, Offsets, rows_at

CHUNK = 250_000  # records at a time, which bounds the memory of the copied rows
FEW = 24  # groups of fewer records than this are parsed one by one
LAYOUTS = 64  # layouts tried on records of one length before the rest is parsed one by one

# fixed odd multipliers for hashing; importing numpy.random would cost 15 ms
_WEIGHTS = np.array(
    [(0x9E3779B97F4A7C15 * i ^ 0xD1B54A32D192ED03 * i * i) % (1 << 64) | 1 for i in range(3, 64)],
    dtype=np.uint64,
)


@dataclass(slots=True)
class EventPoints:
    """The points of one tag, in pieces: position in the file, time (s), step, value."""

    pieces: list[tuple[NDArray[np.int64], NDArray[np.float64], Offsets, NDArray[np.float64]]] = (
        field(default_factory=list)
    )

    def join_rows(self) -> tuple[NDArray[np.float64], Offsets, NDArray[np.float64]]:
        """Return times, steps and values in file order."""
        parts = zip(*self.pieces, strict=True)
        order, walls, steps, values = (np.concatenate(part) for part in parts)
        rank = np.argsort(order, kind="stable")
        return walls[rank], steps[rank], values[rank]


@dataclass(frozen=True, slots=True)
class Events:
    """The content of one event file."""

    points: dict[str, EventPoints]
    texts: dict[str, str]
    unread: int  # records that are no valid protobuf


@dataclass(slots=True)
class _Collector:
    data: Bytes
    points: dict[str, EventPoints] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unread: int = 0

    def add(
        self,
        tag: str,
        order: Offsets,
        walls: NDArray[np.float64],
        steps: Offsets,
        values: NDArray[np.float64],
    ) -> None:
        self.points.setdefault(tag, EventPoints()).pieces.append((order, walls, steps, values))

    def add_one_by_one(self, order: Offsets, starts: Offsets, lengths: Offsets) -> None:
        """Add records, parsing each of them."""
        found: dict[str, list[tuple[int, float, int, float]]] = {}
        places = zip(order.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        for index, start, length in places:
            try:
                record = parse_record(self.data[start : start + length].tobytes())
            except Malformed:
                self.unread += 1
                continue
            for scalar in record.scalars:
                point = (index, record.wall, record.step, scalar.value)
                found.setdefault(scalar.tag, []).append(point)
            for tag, text in record.texts:
                self.texts.setdefault(tag, text.decode("utf-8", "replace"))
        for tag, points in found.items():
            indices, walls, steps, values = zip(*points, strict=True)
            self.add(
                tag,
                np.array(indices, dtype=np.int64),
                np.array(walls, dtype=np.float64),
                np.array(steps, dtype=np.int64),
                np.array(values, dtype=np.float64),
            )

    def add_by_layout(self, order: Offsets, starts: Offsets, length: int) -> None:
        """Add records of one length: layout by layout, the rest one by one."""
        rows = rows_at(self.data, starts, length)
        left = np.arange(order.size)
        odd = []
        for _ in range(LAYOUTS):
            if left.size < FEW:
                break
            layout = _layout(rows[left[0]].tobytes())
            if layout is None:
                odd.append(left[:1])
                left = left[1:]
            else:
                left = self._add_layout(rows, order, left, layout)
        left = np.sort(np.concatenate([*odd, left]))
        self.add_one_by_one(order[left], starts[left], np.full(left.size, length))

    def _add_layout(
        self, rows: Bytes, order: Offsets, left: Offsets, layout: ProtoRecord
    ) -> Offsets:
        """Add the records laid out like the first, whatever their tag; return the others."""
        _, first, which, counts = np.unique(
            _fingerprints(rows[left], layout),
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        taken = np.zeros(first.size, dtype=np.bool_)
        candidates = np.flatnonzero((counts >= FEW) | (first == 0))
        by_kind = np.argsort(which, kind="stable")
        begins = np.cumsum(counts) - counts
        for kind in candidates.tolist():
            example = _layout(rows[left[first[kind]]].tobytes())
            if example is None or not _same_layout(example, layout):
                continue
            members = left[by_kind[begins[kind] : begins[kind] + counts[kind]]]
            self._add_rows(rows[members], order[members], example)
            taken[kind] = True
        return left[~taken[which]]

    def _add_rows(self, rows: Bytes, order: Offsets, example: ProtoRecord) -> None:
        walls = np.ascontiguousarray(rows[:, 1:9]).view("<f8")[:, 0]
        steps = np.zeros(order.size, dtype=np.uint64)
        if example.step_span is not None:
            for shift, column in enumerate(range(*example.step_span)):
                low = (rows[:, column] & 0x7F).astype(np.uint64)
                steps |= low << np.uint64(7 * shift)
        for scalar in example.scalars:
            if scalar.span is not None:
                raw = np.ascontiguousarray(rows[:, slice(*scalar.span)])
                values = raw.view(scalar.format)[:, 0].astype(np.float64)
                self.add(scalar.tag, order, walls, steps.view(np.int64), values)


def _layout(data: bytes) -> ProtoRecord | None:
    """Return the parsed record if it can be a template for others, else None.

    Its numbers must have fixed positions, and its time must come first.
    """
    try:
        record = parse_record(data)
    except Malformed:
        return None
    fixed = all(scalar.span is not None for scalar in record.scalars)
    return record if data[:1] == b"\x09" and record.scalars and fixed else None


def _same_layout(one: ProtoRecord, other: ProtoRecord) -> bool:
    places = [(scalar.span, scalar.format) for scalar in one.scalars]
    return one.step_span == other.step_span and places == [
        (scalar.span, scalar.format) for scalar in other.scalars
    ]


def _fingerprints(rows: Bytes, layout: ProtoRecord) -> NDArray[np.uint64]:
    """Return a hash of each record over all bytes except those of time, step and values."""
    count, length = rows.shape
    masked = np.zeros((count, -(-length // 8) * 8), dtype=np.uint8)
    masked[:, :length] = rows
    masked[:, 1:9] = 0
    if layout.step_span is not None:
        masked[:, slice(*layout.step_span)] &= 0x80  # keep the length of the varint
    for scalar in layout.scalars:
        if scalar.span is not None:
            masked[:, slice(*scalar.span)] = 0
    words = masked.view(np.uint64)
    total = np.zeros(count, dtype=np.uint64)
    for column, weight in enumerate(_WEIGHTS[np.arange(words.shape[1]) % _WEIGHTS.size]):
        word = words[:, column]
        total = (total ^ word ^ (word >> np.uint64(31))) * weight
        total ^= total >> np.uint64(29)
    return total


def read_events(data: Bytes, found: Frames) -> Events:
    """Return the scalars and texts of all records."""
    collector = _Collector(data)
    for begin in range(0, found.starts.size, CHUNK):
        starts = found.starts[begin : begin + CHUNK]
        lengths = found.lengths[begin : begin + CHUNK]
        order = np.arange(begin, begin + starts.size)
        few = []
        by_length = np.argsort(lengths, kind="stable")
        for members in np.split(by_length, np.flatnonzero(np.diff(lengths[by_length])) + 1):
            if members.size < FEW or lengths[members[0]] < 9:
                few.append(members)
            else:
                collector.add_by_layout(order[members], starts[members], int(lengths[members[0]]))
        rest = np.concatenate(few) if few else np.zeros(0, dtype=np.int64)
        collector.add_one_by_one(order[rest], starts[rest], lengths[rest])
    return Events(collector.points, collector.texts, collector.unread)
