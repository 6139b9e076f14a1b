"""TensorBoard event files of a million points, laid out as TensorBoard's writer does."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from advisor.readers.tfrecord import masked_crcs

BATCH = 100_000  # records that are framed together


def write_events(path: Path, columns: Mapping[str, np.ndarray], first: int = 0) -> None:
    """Write each column's values under its tag, one record each; steps count from ``first``."""
    version = b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2"
    rows = np.stack([*columns.values()], axis=1).astype("<f4")
    with path.open("wb") as stream:
        stream.write(_framed([version]))
        batch: list[bytes] = []
        for i, row in enumerate(rows):
            stated = b"\x10" + _varint(first + i) if first + i else b""
            head = b"\x09" + struct.pack("<d", 1.7e9 + i) + stated + b"\x2a"
            for tag, value in zip(columns, row, strict=True):
                summary = _summary(tag.encode(), value.tobytes())
                batch.append(head + _varint(len(summary)) + summary)
            if len(batch) >= BATCH:
                stream.write(_framed(batch))
                batch = []
        stream.write(_framed(batch))


def _summary(tag: bytes, number: bytes) -> bytes:
    scalar = b"\x0a" + _varint(len(tag)) + tag + b"\x15" + number
    return b"\x0a" + _varint(len(scalar)) + scalar


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _framed(batch: Sequence[bytes]) -> bytes:
    """Records with their checksums, those of one length at a time."""
    out: list[bytes] = [b""] * len(batch)
    for length in {len(data) for data in batch}:
        where = [i for i, data in enumerate(batch) if len(data) == length]
        rows = np.frombuffer(b"".join(batch[i] for i in where), np.uint8).reshape(-1, length)
        head = struct.pack("<Q", length)
        sizes = np.frombuffer(head, np.uint8).reshape(1, -1)
        front = head + struct.pack("<I", int(masked_crcs(sizes)[0]))
        for i, crc in zip(where, masked_crcs(rows).tolist(), strict=True):
            out[i] = front + batch[i] + struct.pack("<I", crc)
    return b"".join(out)
