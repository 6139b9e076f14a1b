"""Turning JSON objects into Columns by chunks: fast for rows with known keys, slow for others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from advisor.readers.columns import Columns
from advisor.readers.numbers import to_float
from advisor.run import IntArray

MAX_KEYS = 400  # different names in one log
MAX_KEY = 300  # characters of a name
_BARE = re.compile(rb"(?<=[:\[,\s])(-?(?:NaN|nan|Infinity|inf))(?=\s*[,}\]\n])")
_ODD = re.compile(r'["\\\x00-\x1f]')  # not allowed in a struct's field name: parsed slowly
_Number = float | str | None


class RecordTable:
    """Collects objects as ``columns``; ``bad`` counts values that are no objects."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.bad = 0
        self._keys: tuple[str, ...] = ()
        # for an array of objects, and for one object per line
        self._decoders: tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]] | None = None

    def add_array(self, text: bytes) -> None:
        """Add a chunk that is a JSON array of objects; ValueError where it is not JSON."""
        if not self._add_quickly(lambda array, _: array.decode(text)):
            self.add_rows(_decode(_BARE.sub(rb'"\1"', text)))

    def add_lines(self, text: bytes) -> None:
        """Add a chunk of one JSON object per line; ValueError where a line is not JSON."""
        if not self._add_quickly(lambda _, line: line.decode_lines(text)):
            self.add_rows(msgspec.json.Decoder().decode_lines(_BARE.sub(rb'"\1"', text)))

    def _add_quickly(self, decode: Callable[[Any, Any], list[Any]]) -> bool:
        """Add a chunk decoded into structs of the known keys; False where it holds other keys."""
        if self._decoders is None:
            return False
        try:
            rows = decode(*self._decoders)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        first = self.columns.rows
        every = np.arange(first, first + len(rows))
        for i, key in enumerate(self._keys):
            self._put(key, list(map(attrgetter(f"f{i}"), rows)), every)
        self.columns.rows += len(rows)
        return True

    def _put(self, key: str, values: list[object], rows: IntArray) -> None:
        """Add a column of numbers and words; None marks a missing value."""
        if values[0] is None and values.count(None) == len(values):
            return
        try:
            found = np.array(values, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            self._put_words(key, values, rows)
            return
        holes = [i for i in np.flatnonzero(np.isnan(found)).tolist() if values[i] is None]
        if holes:
            keep = np.ones(found.size, dtype=np.bool_)
            keep[holes] = False
            rows, found = rows[keep], found[keep]
        self.columns.add(key, rows, found)

    def _put_words(self, key: str, values: list[object], rows: IntArray) -> None:
        numbers = [to_float(v) for v in values]
        good = [i for i, number in enumerate(numbers) if number is not None]
        found = np.array([numbers[i] for i in good], dtype=np.float64)
        self.columns.add(key, rows[good], found)
        for i, value in enumerate(values):
            if isinstance(value, str) and (numbers[i] is None or "/" in value):
                self.columns.add_word(key, value, int(rows[i]))

    def add_rows(self, objects: Iterable[object]) -> None:
        """Add decoded objects one by one, which is slower and accepts any keys."""
        columns: dict[str, list[object]] = {}
        count = 0
        for item in objects:
            if not isinstance(item, dict):
                self.bad += 1
                continue
            for key, value in _flatten(item):
                if key not in columns:
                    if len(columns) >= MAX_KEYS or len(key) > MAX_KEY:
                        continue
                    columns[key] = [None] * count
                if len(columns[key]) == count:
                    columns[key].append(value)
            count += 1
            for values in columns.values():
                if len(values) < count:
                    values.append(None)
        first = self.columns.rows
        every = np.arange(first, first + count)
        for key, values in columns.items():
            self._put(key, values, every)
        self.columns.rows += count
        self._learn(columns)

    def _learn(self, columns: Iterable[str]) -> None:
        """Build decoders for all keys seen so far, which the next chunks probably repeat."""
        known = dict.fromkeys([*self._keys, *columns])
        keys = tuple(key for key in known if not _ODD.search(key))[:MAX_KEYS]
        if keys == self._keys and self._decoders is not None:
            return
        self._keys = keys
        fields: list[Any] = [(f"f{i}", _Number, None) for i in range(len(keys))]
        rename = {f"f{i}": key for i, key in enumerate(keys)}
        row = msgspec.defstruct("Row", fields, rename=rename, gc=False, forbid_unknown_fields=True)
        array = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._decoders = (array, msgspec.json.Decoder(row))


def _flatten(item: Mapping[str, object], depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yield the names and values of an object; those of nested objects as 'outer/inner'."""
    for native, value in item.items():
        key = native if native.isascii() else native.encode("utf-8", "replace").decode()
        if isinstance(value, bool) or value is None:
            yield key, None
        elif isinstance(value, int | float | str):
            yield key, value
        elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], int | float):
            yield key, value[0]
        elif isinstance(value, Mapping) and depth < 3 and "_type" not in value:
            yield from ((f"{key}/{inner}", v) for inner, v in _flatten(value, depth + 1))


def _decode(text: bytes) -> list[object]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError("not an array")
    return found


def try_decode(text: bytes) -> object:
    """Decode JSON that may hold bare NaN and Infinity; ValueError where it is no JSON."""
    try:
        return msgspec.json.decode(_BARE.sub(rb'"\1"', text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass  # the standard library's parser accepts more
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
