"""CSV: Lightning's metrics.csv with its sparse column pairs, Keras and YOLO logs, generic."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from advisor.errors import ReadError
from advisor.readers import names
from advisor.readers.files import read_bytes
from advisor.readers.options import ReadOptions
from advisor.readers.table import Columns, Source, runs_of, to_float
from advisor.run import FloatArray, Run

NAME = "csv"
CHUNK = 1 << 22
MAX_COLUMNS = 2000
_PARTS = re.compile(r"^(train|val)/(box|cls|dfl|obj|seg|pose|kobj)_loss$")


def sniff(path: Path, head: bytes) -> bool:
    """A header of at least two names, one of which is a known metric or step."""
    if b"\0" in head:
        return False
    lines = head.lstrip(b"\xef\xbb\xbf").decode("utf-8", "replace").split("\n", 2)
    if len(lines) < 2 or len(lines[0]) > 100_000 or lines[0].lstrip()[:1] in ("{", "["):
        return False
    mark = _delimiter(lines[0])
    header = [h.strip().strip('"') for h in lines[0].split(mark)]
    if len(header) < 2 or lines[1].count(mark) != len(header) - 1:
        return False
    if any(not h for h in header[1:]) or not re.match(r'^[\w"]', lines[0].lstrip()):
        return False
    known = [h for h in header if _known(h)]
    return path.suffix.lower() in (".csv", ".tsv") or len(known) >= 2


def _known(header: str) -> bool:
    name = names.canonical(header)
    return names.plain(header) in (*names.STEP, *names.EPOCH) or name.endswith(("loss", "/lr"))


def _delimiter(line: str) -> str:
    return max((",", ";", "\t"), key=line.count)


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Read a table with a header; empty cells are missing points."""
    data = read_bytes(path).lstrip(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b"\0" in data:
        raise ReadError(f"{path}: binary data, not a CSV table")
    first, _, body = data.partition(b"\n")
    line = first.decode("utf-8", "replace")
    mark = _delimiter(line)
    header = [h.strip() for h in next(csv.reader([line], delimiter=mark), [])]
    if not body.strip():
        raise ReadError(f"{path}: a header and no rows")
    if not 1 < len(header) <= MAX_COLUMNS:
        raise ReadError(f"{path}: {len(header)} columns; expected a table with 2 to {MAX_COLUMNS}")
    columns, notes = _fill(body, header, mark)
    name = "lightning" if any(h.endswith(("_step", "_epoch")) for h in header) else NAME
    _sum_parts(columns, notes)
    return runs_of(columns, Source(str(path), name, {}, (), tuple(notes)), options)


def _fill(body: bytes, header: list[str], mark: str) -> tuple[Columns, list[str]]:
    columns, bad = Columns(), 0
    at = 0
    while at < len(body):
        stop = body.find(b"\n", at + CHUNK)
        stop = len(body) if stop < 0 else stop
        chunk = body[at:stop]
        at = stop + 1
        block = _numbers(chunk, len(header), mark)
        if block is None:
            bad += _slow(columns, chunk, header, mark)
            continue
        rows = np.arange(columns.rows, columns.rows + len(block[0]))
        for i, name in enumerate(header):
            there = block[1][:, i]
            values = block[0][:, i]
            columns.add(name, rows if there.all() else rows[there],
                        values if there.all() else values[there])
        columns.rows += len(block[0])
    return columns, [f"{bad} rows with a wrong number of cells were left out"] if bad else []


def _numbers(chunk: bytes, width: int, mark: str) -> tuple[FloatArray, np.ndarray] | None:
    """Parse a chunk of nothing but numbers and empty cells; None where there is more."""
    if b'"' in chunk:
        return None
    text = chunk.strip(b"\n")
    sep = mark.encode()
    count = text.count(b"\n") + 1
    if text.count(sep) != count * (width - 1):
        return None
    text = text.replace(b"\n", sep)
    holes = sep + sep in text or text[:1] == sep or text[-1:] == sep
    if holes:
        # an empty cell becomes a number that no log holds, told apart from a logged NaN
        text = text.replace(sep + sep, sep + _HOLE + sep).replace(sep + sep, sep + _HOLE + sep)
        text = (_HOLE if text[:1] == sep else b"") + text + (_HOLE if text[-1:] == sep else b"")
    try:
        values = np.array(text.split(sep), dtype=np.float64) if len(text) < 4096 else _parse(
            text, mark
        )
    except ValueError:
        return None
    if values.size != count * width:
        return None
    table = values.reshape(count, width)
    there = table != _HOLE_VALUE if holes else np.ones(table.shape, dtype=bool)
    return table, there


_HOLE = b"1e-307"
_HOLE_VALUE = float(_HOLE)


def _parse(text: bytes, mark: str) -> FloatArray:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # raised where the text is no number
        try:
            return np.fromstring(text, dtype=np.float64, sep=mark)  # type: ignore[call-overload,no-any-return]
        except DeprecationWarning:
            raise ValueError("not numbers") from None


def _slow(columns: Columns, chunk: bytes, header: list[str], mark: str) -> int:
    """Parse a chunk with words, quotes or ragged rows; return how many rows were left out."""
    cells: dict[str, tuple[list[int], list[float]]] = {}
    bad, row = 0, columns.rows
    for fields in _rows(chunk, mark):
        if len(fields) != len(header):
            bad += bool(fields)
            continue
        held = any(re.fullmatch(r"(?i)\s*(e?val|valid|validation|test)\s*", f) for f in fields)
        for name, text in zip(header, fields, strict=True):
            value = to_float(text) if text.strip() else None
            if value is None:
                continue
            if held and names.canonical(name) == "train/loss":
                name = "eval_loss"
            kept = cells.setdefault(name, ([], []))
            kept[0].append(row)
            kept[1].append(value)
        row += 1
    for name, (rows, values) in cells.items():
        columns.add(name, np.array(rows), np.array(values, dtype=np.float64))
    columns.rows = row
    return bad


def _rows(chunk: bytes, mark: str) -> Iterator[list[str]]:
    reader = csv.reader(chunk.decode("utf-8", "replace").split("\n"), delimiter=mark)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue


def _sum_parts(columns: Columns, notes: list[str]) -> None:
    """Detection logs give a loss in parts: the sum is the loss."""
    for side, target in (("train", "train/loss"), ("val", "val/loss")):
        parts = [n for n in columns.data if (m := _PARTS.match(names.plain(n))) and m[1] == side]
        if len(parts) < 2 or target in columns.data:
            continue
        rows, total = columns.column(parts[0])
        total = total.copy()
        for name in parts[1:]:
            more = columns.column(name)
            if more[0].size != rows.size:
                break
            total += more[1]
        else:
            columns.add(target, rows, total)
            notes.append(f"{target} is the sum of {', '.join(parts)}")
