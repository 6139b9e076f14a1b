"""Rows of local JSON, JSONL and parquet files, read line by line where the format allows it.

JSON is parsed row by row, never through a table: one schema for all rows would fill the keys
that a row lacks with nulls, and tool schemas differ from row to row.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from train.data.types import Row, parse_json
from train.errors import DataError, MissingExtra

_CONTAINERS = ("data", "rows", "examples", "instances", "train")
FILE_KINDS = (".jsonl", ".json", ".parquet", ".ndjson", ".jsonl.gz", ".json.gz")


def files_of(path: Path, split: str) -> tuple[Path, ...]:
    """Return the file itself, or the files of a folder that are named after the split."""
    if path.is_file():
        if not path.name.endswith(FILE_KINDS):
            raise DataError(f"dataset: {path}: not a data file; {_kinds()} are read")
        return (path,)
    if not path.is_dir():
        raise DataError(f"dataset: {path}: not a regular file; {_kinds()} are read")
    found = sorted(f for f in path.iterdir() if f.name.endswith(FILE_KINDS) and f.is_file())
    named = tuple(f for f in found if f.name.startswith(split))
    if not found:
        raise DataError(f"dataset: {path}: no data file in this folder; {_kinds()} are read")
    if not named and len(found) > 1:
        names = ", ".join(f.name for f in found[:5])
        raise DataError(f"dataset: {path}: no file for split {split!r} among {names}; name a file")
    return named or tuple(found)


def read_files(files: Sequence[Path]) -> Iterator[Row]:
    for file in files:
        yield from _read(file)


def count_rows(files: Sequence[Path]) -> int:
    total = 0
    for file in files:
        if _is_lines(file):
            with _open(file) as lines:
                total += sum(not line.isspace() for line in lines)
        else:
            total += sum(1 for _ in _read(file))
    return total


def _kinds() -> str:
    return ", ".join(FILE_KINDS)


def _is_lines(file: Path) -> bool:
    return file.name.endswith((".jsonl", ".ndjson", ".jsonl.gz"))


def _open(file: Path) -> IO[str]:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig")


def _read(file: Path) -> Iterator[Row]:
    try:
        if file.suffix == ".parquet":
            yield from _read_parquet(file)
        elif _is_lines(file):
            yield from _read_lines(file)
        else:
            yield from _read_json(file)
    except UnicodeDecodeError as error:
        raise DataError(f"dataset: {file}: not UTF-8 text ({error.reason})") from error
    except RecursionError:
        raise DataError(f"dataset: {file}: holds JSON nested too deeply to be read") from None
    except OSError as error:
        raise DataError(f"dataset: {file}: cannot be read ({error.strerror or error})") from error


def _read_lines(file: Path) -> Iterator[Row]:
    with _open(file) as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                row = parse_json(line)
            except json.JSONDecodeError as error:
                raise DataError(f"dataset: {file}:{number}: not JSON ({error.msg})") from error
            yield _as_row(row, f"{file}:{number}")


def _read_json(file: Path) -> Iterator[Row]:
    """Yield a list of objects, an object that holds one such list, or JSON lines by another
    name."""
    with _open(file) as handle:
        text = handle.read()
    try:
        found = parse_json(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            where = f"{file}:{error.lineno}"
            raise DataError(f"dataset: {where}: not JSON ({error.msg})") from error
        yield from _read_lines(file)
        return
    if isinstance(found, dict):
        inner = [found[key] for key in _CONTAINERS if isinstance(found.get(key), list)]
        found = inner[0] if inner else [found]
    if not isinstance(found, list):
        raise DataError(f"dataset: {file}: expected a list of objects")
    for number, row in enumerate(found):
        yield _as_row(row, f"{file}: row {number}")


def _as_row(row: object, where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"dataset: {where}: expected an object, found {type(row).__name__}")
    return row


def _read_parquet(file: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra(
            f"dataset: {file}: parquet needs `pip install 'finetune-advisor[train]'`"
        ) from error
    try:
        with ParquetFile(file) as table:
            for batch in table.iter_batches(1000):
                yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise DataError(f"dataset: {file}: not a parquet file ({error})") from error
