"""JSON lines: AutoModel's training.jsonl, LLaMA-Factory's trainer_log.jsonl, and the generic."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from advisor.errors import ReadError
from advisor.readers.files import read_bytes
from advisor.readers.options import ReadOptions
from advisor.readers.records import RecordTable, try_decode
from advisor.readers.table import Source, runs_of
from advisor.run import Run

NAME = "jsonl"
CHUNK = 1 << 22
_NUMBER_IN_OBJECT = re.compile(rb'"[^"\n]{1,80}"\s*:\s*"?-?(?:[0-9]|NaN|Infinity|nan|inf)')


def sniff(path: Path, head: bytes) -> bool:
    """An object with numbers on the first line, or an array of such objects."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    line = text.split(b"\n", 1)[0].strip()
    if text[:1] == b"[":
        return bool(re.match(rb"\[\s*\{", text)) and bool(_NUMBER_IN_OBJECT.search(text))
    if not line.startswith(b"{") or path.suffix == ".json":
        return False
    return line.endswith((b"}", b"},")) or len(line) >= len(text) - 2


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Read a file of one object a line; a cut or damaged line is left out and counted."""
    data = read_bytes(path)
    table = RecordTable()
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        _array(table, data, path)
    else:
        _lines(table, data)
    if not table.columns.rows:
        raise ReadError(f"{path}: no line is a JSON object")
    notes = [f"{table.bad} damaged lines were left out"] if table.bad else []
    columns = table.columns
    keys = set(columns.data)
    name = NAME
    facts: dict[str, object] = {}
    if "current_steps" in keys:
        name = "llamafactory"
        facts.update(_last(table, "total_steps", "max_steps"))
    elif {"step", "loss"} <= keys and keys & {"tps", "num_label_tokens", "mfu"}:
        name = "automodel"
    elif "step" in keys and "val_loss" in keys and "num_label_tokens" in keys:
        name = "automodel"
    if "global_step/max_steps" in keys:
        facts.update(_planned(table))
    _kinds(table)
    _drop_summary(table)
    return runs_of(columns, Source(str(path), name, facts, (), tuple(notes)), options)


def _array(table: RecordTable, data: bytes, path: Path) -> None:
    try:
        found = try_decode(data)
    except (ValueError, UnicodeDecodeError):
        raise ReadError(f"{path}: not valid JSON; is the file cut off?") from None
    table.add_rows(found if isinstance(found, list) else [])


def _lines(table: RecordTable, data: bytes) -> None:
    at, size = 0, 1 << 14  # a small first chunk teaches the names
    while at < len(data):
        stop = data.find(b"\n", at + size)
        stop = len(data) if stop < 0 else stop
        chunk = data[at:stop].strip()
        at, size = stop + 1, CHUNK
        if not chunk:
            continue
        joined = chunk.replace(b"\r", b"") if b"\r" in chunk else chunk
        try:
            table.add_array(b"[" + joined.replace(b"\n", b",") + b"]")
        except (ValueError, UnicodeDecodeError, RecursionError):
            _one_by_one(table, joined)


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


def _last(table: RecordTable, key: str, fact: str) -> dict[str, object]:
    if key not in table.columns.data:
        return {}
    values = table.columns.column(key)[1]
    finite = values[np.isfinite(values)]
    del table.columns.data[key]
    return {fact: int(finite[-1])} if finite.size and abs(finite[-1]) < 1e15 else {}


def _planned(table: RecordTable) -> dict[str, object]:
    for text in table.texts.get("global_step/max_steps", {}):
        tail = text.rpartition("/")[2].strip()
        if tail.isdigit():
            return {"max_steps": int(tail)}
    return {}


def _kinds(table: RecordTable) -> None:
    """Split one loss column by a column that says 'train' or 'val' in words."""
    for texts in table.texts.values():
        held = [r for word, rows in texts.items() if re.match(r"(?i)(e?val|test)", word)
                for r in rows]
        if not held or "loss" not in table.columns.data:
            continue
        rows, values = table.columns.column("loss")
        inside = np.isin(rows, held)
        if inside.any() and not inside.all():
            table.columns.data["loss"] = ([rows[~inside]], [values[~inside]])
            table.columns.add("eval_loss", rows[inside], values[inside])


def _drop_summary(table: RecordTable) -> None:
    """A closing row with run time and mean loss is no point of the curve."""
    data = table.columns.data
    if "train_runtime" not in data or "train_loss" not in data:
        return
    closing = table.columns.column("train_runtime")[0]
    rows, values = table.columns.column("train_loss")
    keep = ~np.isin(rows, closing)
    if keep.any():
        data["train_loss"] = ([rows[keep]], [values[keep]])
    else:
        del data["train_loss"]
