"""Hugging Face ``trainer_state.json``: the log history is cut into chunks before parsing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from advisor.errors import ReadError
from advisor.readers import names
from advisor.readers.files import read_bytes
from advisor.readers.numbers import to_float
from advisor.readers.options import ReadOptions
from advisor.readers.records import RecordTable, try_decode
from advisor.readers.table import TableSource, runs_of
from advisor.run import Run

NAME = "transformers"
CHUNK = 1 << 22
LARGEST = 1e15  # a number beyond is damage
_START = re.compile(rb'"log_history"\s*:\s*\[')
_BORDER = re.compile(rb"\}\s*,\s*\{")
_AFTER = re.compile(rb'\]\s*,\s*"[A-Za-z_]+"\s*:|\]\s*\}\s*$')
_FACTS = (
    "max_steps",
    "num_train_epochs",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "global_step",
    "train_batch_size",
    "best_metric",
    "best_global_step",
    "best_model_checkpoint",
    "epoch",
)


def sniff(path: Path, head: bytes) -> bool:
    return (
        path.suffix == ".json"
        and (path.name == "trainer_state.json" or b'"log_history"' in head)
        and head.lstrip()[:1] in (b"{", b"")
    )


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Read the one run of a trainer state; what is cut off is read as far as it goes."""
    data = read_bytes(path)
    start = _START.search(data)
    if start is None:
        raise ReadError(f"{path}: no log_history; is this a trainer_state.json?")
    table = RecordTable()
    rest, notes = _fill(table, data, start.start(), start.end(), path)
    facts = _facts(rest)
    summary = _summary(table)
    facts.update(summary)
    if not table.columns.rows:
        raise ReadError(f"{path}: the log history is empty; nothing was logged in this run")
    source = TableSource(str(path), NAME, facts, (), tuple(notes))
    return runs_of(table.columns, source, options)


def _fill(
    table: RecordTable, data: bytes, begin: int, start: int, path: Path
) -> tuple[Mapping[str, object], list[str]]:
    """Parse the rows; return the rest of the object, and notes."""
    for end in _ends(data, start):
        try:
            rest = try_decode(data[:begin] + b'"log_history": []' + data[end + 1 :])
        except ValueError:
            continue
        if isinstance(rest, dict):
            _rows(table, data, start, end, path)
            return rest, []
    last = data.rfind(b"}", start)
    if last < 0:
        raise ReadError(f"{path}: cut off before the first row; nothing to read")
    _rows(table, data, start, last + 1, path)
    return {}, ["the file is cut off or damaged: what could be read of it was used"]


def _ends(data: bytes, start: int) -> list[int]:
    """Return where the array may end: the last few places first, since rows come before."""
    tail = max(start, len(data) - (1 << 20))
    found = [m.start() for m in _AFTER.finditer(data, tail)]
    if len(found) > 8:
        found = [*found[:6], *found[-2:]]
    if tail > start and not found:
        found = [m.start() for m in _AFTER.finditer(data, start)][:8]
    empty = re.compile(rb"\s*\]").match(data, start)
    return ([empty.end() - 1] if empty else []) + found


def _rows(table: RecordTable, data: bytes, start: int, end: int, path: Path) -> None:
    at = start
    first = True
    while at < end:
        size = 1 << 14 if first else CHUNK  # a small first chunk teaches the names
        first = False
        border = _BORDER.search(data, at + size, end) if at + size < end else None
        stop = border.start() + 1 if border else end
        chunk = data[at:stop].strip().rstrip(b",")
        if chunk:
            try:
                table.add_array(b"[" + chunk + b"]")
            except (ValueError, UnicodeDecodeError, RecursionError):
                _salvage(table, chunk, path)
        at = border.end() - 1 if border else end


def _salvage(table: RecordTable, chunk: bytes, path: Path) -> None:
    """Read the objects of a damaged chunk one by one, up to the damage."""
    rows = []
    for text in _BORDER.split(chunk):
        text = text.strip()
        text = (b"" if text.startswith(b"{") else b"{") + text
        text += b"" if text.endswith(b"}") else b"}"
        try:
            rows.append(try_decode(text))
        except (ValueError, RecursionError):
            continue
    if not any(isinstance(r, dict) for r in rows):
        raise ReadError(f"{path}: the log history is not valid JSON")
    table.add_rows(rows)


def _facts(rest: Mapping[str, object]) -> dict[str, object]:
    facts: dict[str, object] = {k: rest[k] for k in _FACTS if _is_fact(rest.get(k))}
    best = rest.get("best_model_checkpoint")
    if isinstance(best, str):
        facts["best_checkpoint"] = Path(best.replace("\\", "/")).name
    control = rest.get("stateful_callbacks")
    for key in ("TrainerControl", "args", "should_training_stop"):
        control = control.get(key) if isinstance(control, Mapping) else None
    if control is True:  # at the last step, and where a callback ends the run
        facts["ended"] = True
    return facts


def _is_fact(value: object) -> bool:
    """Say whether a value is a text, or a number that a count or a loss can be."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value) < LARGEST
    return isinstance(value, str)


def _summary(table: RecordTable) -> dict[str, object]:
    """Take the closing summary row (mean loss, run time) out of the curves."""
    facts: dict[str, object] = {}
    data = table.columns.data
    if "train_runtime" not in data:
        return facts
    closing = {int(r) for part in data["train_runtime"][0] for r in part}
    for key in [*names.SUMMARY, "train_loss"]:
        if key not in data:
            continue
        rows, values = table.columns.column(key)
        facts[key] = to_float(float(values[-1]))
        keep = [i for i, r in enumerate(rows.tolist()) if r not in closing]
        if keep:
            table.columns.data[key] = ([rows[keep]], [values[keep]])
        else:
            del data[key]
    return facts
