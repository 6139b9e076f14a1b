"""JSON: one object per line (AutoModel, LLaMA-Factory, ms-swift, any), arrays and histories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advisor.base.numbers import count
from advisor.errors import NotALog, ReadError
from advisor.readers import event_log
from advisor.readers.files import chunks_of_lines, read_bytes, read_head
from advisor.readers.options import ReadOptions
from advisor.readers.records import RecordTable, try_decode
from advisor.readers.reshape import pop_last_value, reshape
from advisor.readers.table import TableSource, runs_of
from advisor.run import Run

NAME = "jsonl"
_NUMBER_IN_OBJECT = re.compile(rb'"[^"\n]{1,80}"\s*:\s*[\["]?-?(?:[0-9]|NaN|Infinity|nan|inf)')
_HISTORY = re.compile(rb'\{\s*"[^"\n]{1,80}"\s*:\s*[\[{]')
_LOSSES = re.compile(rb'"[^"\n]{0,60}(?:loss|cross_entropy)[^"\n]{0,30}"\s*:\s*\[')
MOST_LISTS = 400  # metrics of one history


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file holds objects with numbers: one per line, an array, or lists."""
    text = head.lstrip()
    if text[:1] == b"[":
        return bool(re.match(rb"\[\s*\{", text)) and bool(_NUMBER_IN_OBJECT.search(text))
    if text[:1] != b"{":
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if path.suffix == ".json" and _HISTORY.match(text) and _LOSSES.search(text):
        return True
    if len(lines) > 1:
        lines = lines[:-1] if len(text) > len(text.rstrip()) else lines  # the last may be cut
    objects = sum(line.startswith((b'{"', b'{ "')) for line in lines)
    if objects < 0.5 * len(lines) or not _NUMBER_IN_OBJECT.search(text):
        return False
    first = lines[0]
    return first.endswith((b"}", b"},")) or len(first) >= len(text) - 2


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Return the runs of a JSON file; damaged lines are left out and counted in a note."""
    if event_log.is_ours(path):
        return _events_alone(path)
    start = read_head(path).lstrip()
    table = RecordTable()
    if start[:1] == b"[":
        _add_array(table, path)
    elif path.suffix == ".json" and _HISTORY.match(start):
        _add_history(table, path)
    else:
        for chunk in chunks_of_lines(path):
            _add_lines(table, chunk)
    columns = table.columns
    if not columns.rows:
        raise NotALog(f"{path}: no line is a JSON object")
    notes = [f"{count(table.bad, 'damaged line')} left out"] if table.bad else []
    facts: dict[str, object] = {}
    name = _flavour(set(columns.data))
    if "current_steps" in columns.data and (found := pop_last_value(columns, "total_steps")):
        facts["max_steps"] = int(found["total_steps"])
    facts.update(_planned_steps(columns.texts.get("global_step/max_steps", {})))
    notes += reshape(columns)
    beside = event_log.read_beside(path)
    if undone := event_log.drop_undone(columns, beside.rollbacks) if beside.rollbacks else 0:
        notes.append(f"{count(undone, 'row')} undone by a rollback to an earlier step")
    if path.name == event_log.HELD_OUT:
        beside = replace(beside, events=(), facts={})  # the training log has them
    source = TableSource(
        str(path), name, {**facts, **beside.facts}, beside.events, tuple(notes), beside.is_resumed
    )
    return runs_of(columns, source, options)


def _events_alone(path: Path) -> list[Run]:
    """Return the Run of a training that ended before its first step: events without series."""
    log = path.with_name(event_log.LOG)
    if log.is_file() and log.stat().st_size:
        raise NotALog(f"{path}: read together with the {log.name} beside it; give that file")
    beside = event_log.read(path)
    return [Run(str(path), "automodel", {}, events=beside.events, facts=beside.facts)]


def _flavour(keys: set[str]) -> str:
    """Return the name of the trainer that logs these keys."""
    if "current_steps" in keys:
        return "llamafactory"
    rows = {"step", "num_label_tokens"} <= keys  # others log `tps` and `mfu`, too
    return "automodel" if rows and keys & {"loss", "val_loss"} else NAME


def _parse(path: Path) -> object:
    try:
        return try_decode(read_bytes(path))
    except (ValueError, UnicodeDecodeError):
        raise ReadError(f"{path}: not valid JSON; is the file cut off?") from None


def _add_array(table: RecordTable, path: Path) -> None:
    found = _parse(path)
    table.add_rows(found if isinstance(found, list) else [])


def _add_history(table: RecordTable, path: Path) -> None:
    """Add an object of lists, one per metric, such as Keras' history."""
    lists: dict[str, list[object]] = {}
    _gather(_parse(path), "", lists)
    longest = max(map(len, lists.values()), default=0)
    rows: list[dict[str, object]] = [{} for _ in range(longest)]
    for name, values in lists.items():
        for row, value in zip(rows, values, strict=False):
            row[name] = value
    table.add_rows(rows)


def _gather(item: object, name: str, lists: dict[str, list[object]], depth: int = 0) -> None:
    """Collect the lists of numbers in nested objects under 'outer/inner' names."""
    if len(lists) >= MOST_LISTS or depth > 3:
        return
    if isinstance(item, list) and any(isinstance(v, int | float) for v in item[:3]):
        lists[name] = item
    elif isinstance(item, Mapping):
        for key, value in item.items():
            grouped = name and not name.endswith("history")
            _gather(value, f"{name}/{key}" if grouped else key, lists, depth + 1)


def _add_lines(table: RecordTable, chunk: bytes) -> None:
    if b"\r" in chunk:
        chunk = chunk.replace(b"\r", b"\n")
    try:
        table.add_lines(chunk)
    except (ValueError, UnicodeDecodeError, RecursionError):
        _add_one_by_one(table, chunk)


def _add_one_by_one(table: RecordTable, chunk: bytes) -> None:
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


def _planned_steps(words: Mapping[str, object]) -> dict[str, object]:
    """Return the planned steps that ms-swift states in '10/3820'."""
    for text in words:
        tail = text.rpartition("/")[2].strip()
        if tail.isdigit() and len(tail) < 16:
            return {"max_steps": int(tail)}
    return {}
