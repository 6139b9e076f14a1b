"""JSON: a line an object (AutoModel, LLaMA-Factory, ms-swift, generic), arrays, and histories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advisor.errors import NotALog, ReadError
from advisor.readers import happenings
from advisor.readers.files import chunks_of_lines, read_bytes, read_head
from advisor.readers.options import ReadOptions
from advisor.readers.records import RecordTable, try_decode
from advisor.readers.reshape import last_value, reshape
from advisor.readers.table import TableSource, runs_of
from advisor.run import Run

NAME = "jsonl"
_NUMBER_IN_OBJECT = re.compile(rb'"[^"\n]{1,80}"\s*:\s*[\["]?-?(?:[0-9]|NaN|Infinity|nan|inf)')
_HISTORY = re.compile(rb'\{\s*"[^"\n]{1,80}"\s*:\s*[\[{]')
_LOSSES = re.compile(rb'"[^"\n]{0,60}(?:loss|cross_entropy)[^"\n]{0,30}"\s*:\s*\[')
MOST_LISTS = 400


def sniff(path: Path, head: bytes) -> bool:
    """Objects with numbers: most lines, an array, or one object of lists."""
    text = head.lstrip()
    if text[:1] == b"[":
        return bool(re.match(rb"\[\s*\{", text)) and bool(_NUMBER_IN_OBJECT.search(text))
    if text[:1] != b"{":
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if path.suffix == ".json" and _HISTORY.match(text) and _LOSSES.search(text):
        return True
    if len(lines) > 1:
        lines = lines[:-1] if len(text) > len(text.rstrip()) else lines  # the head may cut one
    objects = sum(line.startswith((b'{"', b'{ "')) for line in lines)
    if objects < 0.5 * len(lines) or not _NUMBER_IN_OBJECT.search(text):
        return False
    first = lines[0]
    return first.endswith((b"}", b"},")) or len(first) >= len(text) - 2


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Read a file of one object a line; a cut or damaged line is left out and counted."""
    if happenings.is_ours(path):
        return _events_alone(path)
    start = read_head(path).lstrip()
    table = RecordTable()
    if start[:1] == b"[":
        _array(table, path)
    elif path.suffix == ".json" and _HISTORY.match(start):
        _history(table, path)
    else:
        for chunk in chunks_of_lines(path):
            _lines(table, chunk)
    columns = table.columns
    if not columns.rows:
        raise NotALog(f"{path}: no line is a JSON object")
    notes = [f"{table.bad} damaged lines were left out"] if table.bad else []
    facts: dict[str, object] = {}
    name = _flavour(set(columns.data))
    if "current_steps" in columns.data and (found := last_value(columns, "total_steps")):
        facts["max_steps"] = int(found["total_steps"])
    facts.update(_planned(columns.texts.get("global_step/max_steps", {})))
    notes += reshape(columns)
    told = happenings.beside(path)
    if undone := happenings.drop_undone(columns, told.rollbacks) if told.rollbacks else 0:
        notes.append(f"{undone} rows were undone by a rollback to an earlier step")
    if path.name == happenings.HELD_OUT:
        told = replace(told, events=(), facts={})  # they are the training log's
    source = TableSource(
        str(path), name, {**facts, **told.facts}, told.events, tuple(notes), told.resumed
    )
    return runs_of(columns, source, options)


def _events_alone(path: Path) -> list[Run]:
    """Return the Run of a training that ended before its first step: events, and no log."""
    log = path.with_name(happenings.LOG)
    if log.is_file() and log.stat().st_size:
        raise NotALog(f"{path}: is read together with {log.name} beside it; give that one")
    told = happenings.read(path)
    return [Run(str(path), "automodel", {}, events=told.events, facts=told.facts)]


def _flavour(keys: set[str]) -> str:
    if "current_steps" in keys:
        return "llamafactory"
    rows = {"step", "num_label_tokens"} <= keys  # `tps` and `mfu` others log as well
    return "automodel" if rows and keys & {"loss", "val_loss"} else NAME


def _whole(path: Path) -> object:
    try:
        return try_decode(read_bytes(path))
    except (ValueError, UnicodeDecodeError):
        raise ReadError(f"{path}: not valid JSON; is the file cut off?") from None


def _array(table: RecordTable, path: Path) -> None:
    found = _whole(path)
    table.add_rows(found if isinstance(found, list) else [])


def _history(table: RecordTable, path: Path) -> None:
    """An object of lists, one a metric: Keras' history, or what a script dumped at its end."""
    lists: dict[str, list[object]] = {}
    _gather(_whole(path), "", lists)
    longest = max(map(len, lists.values()), default=0)
    rows: list[dict[str, object]] = [{} for _ in range(longest)]
    for name, values in lists.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    table.add_rows(rows)


def _gather(item: object, name: str, lists: dict[str, list[object]], depth: int = 0) -> None:
    if len(lists) >= MOST_LISTS or depth > 3:
        return
    if isinstance(item, list) and any(isinstance(v, int | float) for v in item[:3]):
        lists[name] = item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            grouped = name and not name.endswith("history")
            _gather(value, f"{name}/{key}" if grouped else key, lists, depth + 1)


def _lines(table: RecordTable, chunk: bytes) -> None:
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r", b"\n")
    try:
        table.add_lines(chunk)
    except (ValueError, UnicodeDecodeError, RecursionError):
        _one_by_one(table, chunk)


def _one_by_one(table: RecordTable, chunk: bytes) -> None:
    rows: list[object] = []
    for line in chunk.split(b"\n"):
        line = line.strip().rstrip(b",")
        if not line:
            continue
        try:
            rows.append(try_decode(line))
        except (ValueError, UnicodeDecodeError, RecursionError):
            table.bad += 1
    table.add_rows(rows)


def _planned(words: Mapping[str, object]) -> dict[str, object]:
    """ms-swift's '10/3820' states the planned steps too."""
    for text in words:
        tail = text.rpartition("/")[2].strip()
        if tail.isdigit() and len(tail) < 16:
            return {"max_steps": int(tail)}
    return {}
