"""Framing of an event file: where each record is, and which records are damaged.

A record is a length (8 bytes), its checksum (4), the data, and the data's checksum (4). Checksums
are masked CRC-32C, as in TensorFlow's record_writer.h. Work on many records is done in numpy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.base.numbers import count

HEADER = 12  # bytes before the data
FOOTER = 4  # bytes after it
CHECKED_RECORDS = 20_000  # records whose data is verified; of larger files a sample is

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Frames:
    """Offset and length of the data of each intact record, in file order."""

    starts: Offsets
    lengths: Offsets
    notes: tuple[str, ...] = ()


def _make_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_TABLE = _make_table()


def _mask(crc: NDArray[np.uint32]) -> NDArray[np.uint32]:
    wide = crc.astype(np.uint64)
    rotated = ((wide >> np.uint64(15)) | (wide << np.uint64(17))) & np.uint64(0xFFFFFFFF)
    return ((rotated + np.uint64(0xA282EAD8)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def masked_crcs(rows: Bytes) -> NDArray[np.uint32]:
    """Return the masked CRC-32C of each row of an ``(n, length)`` array."""
    crc = np.full(rows.shape[0], 0xFFFFFFFF, dtype=np.uint32)
    for column in range(rows.shape[1]):
        crc = _TABLE[(crc ^ rows[:, column]) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return _mask(crc ^ np.uint32(0xFFFFFFFF))


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of one piece of data."""
    table = _TABLE.tolist()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def starts_with_event(head: bytes) -> bool:
    """Return whether the first record is intact and states the version of an event file."""
    if len(head) < HEADER or b"brain.Event" not in head[:128]:
        return False
    length, crc = struct.unpack_from("<QI", head)
    return bool(length < 1 << 20 and masked_crc(head[:8]) == crc)


def rows_at(data: Bytes, starts: Offsets, length: int) -> Bytes:
    """Return the ``length`` bytes at each of ``starts``, as an ``(n, length)`` copy."""
    if length == 0 or starts.size == 0:
        return np.zeros((starts.size, length), dtype=np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, length)[starts]


def _walk(buffer: memoryview) -> tuple[Offsets, Offsets, str]:
    """Return the offsets and lengths by following the chain, and a note if the file is cut off."""
    unpack = struct.Struct("<Q").unpack_from
    borders: list[int] = []
    append = borders.append
    position, size, frame = 0, len(buffer), HEADER + FOOTER
    last = size - frame
    while position <= last:
        append(position)
        position += unpack(buffer, position)[0] + frame
    if position <= size:
        append(position)
    note = "" if position == size else "the file ends within a record: read up to there"
    edges = np.array(borders, dtype=np.int64)
    return edges[:-1] + HEADER, np.diff(edges) - frame, note


def _sound_lengths(data: Bytes, starts: Offsets, lengths: Offsets) -> int:
    """Return how many records precede the first whose length does not match its checksum."""
    kinds, which = np.unique(lengths, return_inverse=True)
    expected = masked_crcs(kinds.astype("<u8").view(np.uint8).reshape(-1, 8))[which]
    stored = rows_at(data, starts - FOOTER, 4).view("<u4")[:, 0]
    wrong = np.flatnonzero(stored != expected)
    return int(wrong[0]) if wrong.size else int(starts.size)


def _find_damaged(data: Bytes, starts: Offsets, lengths: Offsets) -> NDArray[np.bool_]:
    """Return a mask of the records whose data fails its checksum; over 4 KiB it is not checked."""
    bad = np.zeros(starts.size, dtype=np.bool_)
    for length in np.unique(lengths):
        if length > 4096:  # a graph or an image, which is not read
            continue
        members = np.flatnonzero(lengths == length)
        rows = rows_at(data, starts[members], int(length))
        stored = rows_at(data, starts[members] + length, 4).view("<u4")[:, 0]
        bad[members] = masked_crcs(rows) != stored
    return bad


def frames(data: Bytes) -> Frames:
    """Return the intact records of an event file, and notes on the others."""
    starts, lengths, note = _walk(data.data)
    notes = [note] if note else []
    sound = _sound_lengths(data, starts, lengths)
    if sound < starts.size:
        notes = [f"record {sound} has a damaged length: read up to there"]
        starts, lengths = starts[:sound], lengths[:sound]
    stride = max(1, starts.size // CHECKED_RECORDS)
    bad = _find_damaged(data, starts[::stride], lengths[::stride])
    if bad.any() and stride > 1:
        bad = _find_damaged(data, starts, lengths)
    if bad.any():
        good = ~bad
        notes.append(f"{count(int(bad.sum()), 'record')} with a wrong checksum left out")
        starts, lengths = starts[good], lengths[good]
    return Frames(starts, lengths, tuple(notes))
