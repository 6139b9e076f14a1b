"""CSV: Lightning's metrics.csv with its sparse column pairs, Keras and YOLO logs, any other."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np

from advisor.base.numbers import count
from advisor.errors import ReadError
from advisor.readers import names
from advisor.readers.columns import Columns
from advisor.readers.exports import rename_columns
from advisor.readers.files import chunks_of_lines
from advisor.readers.numbers import to_float
from advisor.readers.options import ReadOptions
from advisor.readers.reshape import reshape
from advisor.readers.table import TableSource, runs_of
from advisor.run import FloatArray, Run

NAME = "csv"
MAX_COLUMNS = 2000
_MARKS = ("\t", ";", ",")
_DECIMAL_COMMA = re.compile(rb";-?\d+,\d+(?=[;\r\n])")


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the first line is a header of at least two columns.

    Without .csv or .tsv in its name the file also needs two known metrics or steps in it.
    """
    if b"\0" in head:
        return False
    lines = head.decode("utf-8", "replace").split("\n", 2)
    if len(lines) < 2 or len(lines[0]) > 100_000 or lines[0].lstrip()[:1] in ("{", "["):
        return False
    mark = _delimiter(lines[0])
    header = _cells(lines[0], mark)
    if len(header) < 2 or len(_cells(lines[1], mark)) != len(header):
        return False
    if any(not h for h in header[1:]) or not re.match(r'^\s*[\w"#,;]', lines[0]):
        return False
    if path.suffix.lower() in (".csv", ".tsv"):
        return True
    return sum(map(_is_known, header)) >= 2 and not any(to_float(h) is not None for h in header)


def _delimiter(line: str) -> str:
    return max(_MARKS, key=line.count)


def _cells(line: str, mark: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []


def _is_known(header: str) -> bool:
    return names.is_place(header) or names.is_known(header) or header.lower().endswith("loss")


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Return the runs of a table; empty cells are missing points."""
    pieces = chunks_of_lines(path, options.growing)
    text = _with_line_feeds(next(pieces, b"")).lstrip(b"\n")
    first, _, rest = text.partition(b"\n")
    line = first.decode("utf-8", "replace")
    mark = _delimiter(line)
    header = _header(_cells(line, mark), path)
    if options.headers is not None:
        known = options.headers.setdefault(str(path), header)
        if len(known) == len(header) and _is_row(_cells(line, mark)):
            header, rest = known, text
        elif known != header:
            options.headers[str(path)] = header
    columns, bad = _parse(chain([rest], map(_with_line_feeds, pieces)), header, mark)
    if not columns.rows:
        raise ReadError(f"{path}: a header without rows")
    notes = [f"{count(bad, 'row')} with a wrong number of cells left out"] if bad else []
    name = "lightning" if any(h.endswith(("_step", "_epoch")) for h in header) else NAME
    notes += reshape(columns)
    runs: list[Run] = []
    for ident, part, more in rename_columns(columns, path):
        source = TableSource(str(path), name, {}, (), (*notes, *more))
        runs += [_add_id(run, ident) for run in runs_of(part, source, options)]
    return runs


def _is_row(cells: list[str]) -> bool:
    """Return whether a line holds numbers, as the first line of a rotated log without header."""
    return any(to_float(cell) is not None for cell in cells if cell)


def _with_line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def _add_id(run: Run, ident: str) -> Run:
    return replace(run, id=" ".join(filter(None, (ident, run.id)))) if ident else run


def _header(cells: list[str], path: Path) -> list[str]:
    """Return unique column names: repeated ones get a number, an unnamed first one is 'index'."""
    if not 1 < len(cells) <= MAX_COLUMNS:
        raise ReadError(f"{path}: {len(cells)} columns; expected a table with 2 to {MAX_COLUMNS}")
    seen: dict[str, int] = {}
    header = []
    for at, cell in enumerate(cells):
        name = cell or ("index" if at == 0 else f"column {at + 1}")
        seen[name] = seen.get(name, 0) + 1
        header.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return header


def _parse(pieces: Iterable[bytes], header: list[str], mark: str) -> tuple[Columns, int]:
    """Return the columns, and how many rows with a wrong number of cells were left out."""
    columns, bad = Columns(), 0
    for piece in pieces:
        chunk = piece.strip(b"\n")
        if not chunk:
            continue
        if mark == ";" and _DECIMAL_COMMA.search(chunk[: 1 << 16]):
            chunk = chunk.replace(b",", b".")
        table = _parse_numbers(chunk, len(header), mark)
        if table is None:
            bad += _add_slowly(columns, chunk, header, mark)
            continue
        rows = np.arange(columns.rows, columns.rows + len(table))
        there = table != _HOLE_VALUE
        for i, name in enumerate(header):
            values = np.ascontiguousarray(table[:, i])
            full = bool(there[:, i].all())
            columns.add(name, rows if full else rows[there[:, i]],
                        values if full else values[there[:, i]])  # fmt: skip
        columns.rows += len(table)
    return columns, bad


_HOLE = b"1e-307"  # stands for an empty cell: a number that no log holds
_HOLE_VALUE = float(_HOLE)
_NUMBERS = msgspec.json.Decoder(list[float])


def _parse_numbers(chunk: bytes, width: int, mark: str) -> FloatArray | None:
    """Return a chunk as ``(rows, width)`` numbers; None where it holds anything but numbers."""
    sep = mark.encode()
    rows = chunk.count(b"\n") + 1
    if _HOLE in chunk or not _is_rectangular(chunk, sep, width):
        return None
    text = chunk.replace(b"\n", b",").replace(sep, b",")
    if b",," in text or text[:1] == b"," or text[-1:] == b",":
        text = text.replace(b",,", b"," + _HOLE + b",").replace(b",,", b"," + _HOLE + b",")
        text = (_HOLE if text[:1] == b"," else b"") + text + (_HOLE if text[-1:] == b"," else b"")
    try:
        # parsed as JSON, which is three times as fast as numpy's text parser
        values = np.array(_NUMBERS.decode(b"[" + text + b"]"), dtype=np.float64)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return values.reshape(rows, width) if values.size == rows * width else None


def _is_rectangular(chunk: bytes, sep: bytes, width: int) -> bool:
    """Return whether every line has ``width`` cells."""
    # the total alone is not enough: one cell too many may hide one too few
    if chunk.count(sep) != (chunk.count(b"\n") + 1) * (width - 1):
        return False
    raw = np.frombuffer(chunk, dtype=np.uint8)
    before = np.searchsorted(np.flatnonzero(raw == sep[0]), np.flatnonzero(raw == 10))
    return bool((before == (width - 1) * np.arange(1, before.size + 1)).all())


def _add_slowly(columns: Columns, chunk: bytes, header: list[str], mark: str) -> int:
    """Add a chunk with words, quotes or ragged rows; return how many rows were left out."""
    rows, bad = [], 0
    for fields in _rows(chunk, mark):
        if len(fields) == len(header):
            rows.append(fields)
        else:
            bad += bool(fields)
    for name, cells in zip(header, zip(*rows, strict=True), strict=False):
        _add_column(columns, name, cells)
    columns.rows += len(rows)
    return bad


def _add_column(columns: Columns, name: str, cells: tuple[str, ...]) -> None:
    first = columns.rows
    numbers = [to_float(cell) for cell in cells]
    good = [i for i, number in enumerate(numbers) if number is not None]
    values = np.array([numbers[i] for i in good], dtype=np.float64)
    columns.add(name, first + np.array(good, dtype=np.int64), values)
    if len(good) < len(cells):
        for i, cell in enumerate(cells):
            if numbers[i] is None and cell.strip():
                columns.add_word(name, cell.strip(), first + i)


def _rows(chunk: bytes, mark: str) -> Iterator[list[str]]:
    reader = csv.reader(chunk.decode("utf-8", "replace").split("\n"), delimiter=mark)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue
