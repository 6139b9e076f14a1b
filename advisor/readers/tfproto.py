"""Parsing one record of an event file as protobuf, with the byte positions of its numbers.

Field numbers are those of TensorFlow's event.proto, summary.proto and tensor.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

_FORMATS = {1: "<f4", 2: "<f8", 19: "<f2", 3: "<i4", 9: "<i8"}  # by DataType
_PACKED = {5: "<f4", 6: "<f8"}  # float_val and double_val


@dataclass(frozen=True, slots=True)
class ProtoScalar:
    """One scalar in a record: its tag, its value and the bytes that hold it."""

    tag: str
    value: float
    span: tuple[int, int] | None = None  # None for a varint, whose width varies
    format: str = "<f4"


@dataclass(slots=True)
class ProtoRecord:
    """The content of one record."""

    wall: float = 0.0  # seconds since 1970
    step: int = 0
    step_span: tuple[int, int] | None = None
    scalars: list[ProtoScalar] = field(default_factory=list)
    texts: list[tuple[str, bytes]] = field(default_factory=list)


class Malformed(ValueError):
    """The record is no valid protobuf."""


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Malformed


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield each field's number, wire type, value (of a varint), begin and end."""
    while at < end:
        key, at = _varint(data, at, end)
        number, wire, value = key >> 3, key & 7, 0
        begin = at
        if wire == 0:
            value, at = _varint(data, at, end)
        elif wire == 1:
            at += 8
        elif wire == 2:
            size, begin = _varint(data, at, end)
            at = begin + size
        elif wire == 5:
            at += 4
        else:
            raise Malformed
        if at > end:
            raise Malformed
        yield number, wire, value, begin, at


def _to_signed(value: int, bits: int = 64) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _tensor(data: bytes, at: int, end: int, tag: str) -> ProtoScalar | bytes | None:
    """Return the scalar of a one-number tensor, or the first text of a text tensor."""
    kind = 0
    found: ProtoScalar | bytes | None = None
    for number, wire, value, begin, stop in _fields(data, at, end):
        if number == 1 and wire == 0:
            kind = value
        elif number == 4 and kind in _FORMATS:
            found = _number(data, begin, stop, tag, _FORMATS[kind])
        elif number in _PACKED and wire in (1, 2, 5):
            found = _number(data, begin, stop, tag, _PACKED[number])
        elif number == 8 and found is None:
            found = data[begin:stop]
        elif number in (7, 10, 13):  # int_val, int64_val, half_val: varints
            at_value = value if wire == 0 else _varint(data, begin, stop)[0]
            if number == 13:
                half = np.array([at_value & 0xFFFF], dtype="<u2").view("<f2")
                found = ProtoScalar(tag, float(half[0]))
            else:
                found = ProtoScalar(tag, float(_to_signed(at_value)))
    return found


def _number(data: bytes, begin: int, end: int, tag: str, form: str) -> ProtoScalar | None:
    if end - begin != np.dtype(form).itemsize:
        return None
    value = float(np.frombuffer(data, dtype=form, count=1, offset=begin)[0])
    return ProtoScalar(tag, value, (begin, end), form)


def _value(data: bytes, at: int, end: int, record: ProtoRecord) -> None:
    tag = ""
    found: ProtoScalar | bytes | None = None
    for number, wire, _, begin, stop in _fields(data, at, end):
        if number == 1 and wire == 2:
            tag = data[begin:stop].decode("utf-8", "replace")
        elif number == 2 and wire == 5:
            found = _number(data, begin, stop, tag, "<f4")
        elif number == 8 and wire == 2:
            found = _tensor(data, begin, stop, tag)
    if isinstance(found, ProtoScalar):
        record.scalars.append(ProtoScalar(tag, found.value, found.span, found.format))
    elif found is not None:
        record.texts.append((tag, found))


def parse_record(data: bytes) -> ProtoRecord:
    """Return the parsed record; Malformed where it is no valid protobuf."""
    record = ProtoRecord()
    for number, wire, value, begin, end in _fields(data, 0, len(data)):
        if number == 1 and wire == 1:
            record.wall = struct.unpack_from("<d", data, begin)[0]
        elif number == 2 and wire == 0:
            record.step, record.step_span = _to_signed(value), (begin, end)
        elif number == 5 and wire == 2:
            for inner, kind, _, start, stop in _fields(data, begin, end):
                if inner == 1 and kind == 2:
                    _value(data, start, stop, record)
    return record
