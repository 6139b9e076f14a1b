"""Hugging Face ``trainer_state.json``, whose log history is parsed in chunks."""

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
CHUNK = 1 << 22  # bytes
LARGEST = 1e15  # a larger number means a damaged file
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
    """Return whether a .json file has the name or the ``log_history`` of a trainer state."""
    return (
        path.suffix == ".json"
        and (path.name == "trainer_state.json" or b'"log_history"' in head)
        and head.lstrip()[:1] in (b"{", b"")
    )


def read(path: Path, options: ReadOptions) -> list[Run]:
    """Return the one run of a trainer state; a truncated file is read as far as it goes."""
    data = read_bytes(path)
    start = _START.search(data)
    if start is None:
        raise ReadError(f"{path}: no log_history; is this a trainer_state.json?")
    table = RecordTable()
    rest, notes = _add_history(table, data, start.start(), start.end(), path)
    facts = _facts(rest)
    summary = _pop_summary(table)
    facts.update(summary)
    if not table.columns.rows:
        raise ReadError(f"{path}: the log history is empty; nothing was logged in this run")
    source = TableSource(str(path), NAME, facts, (), tuple(notes))
    return runs_of(table.columns, source, options)


def _add_history(
    table: RecordTable, data: bytes, begin: int, start: int, path: Path
) -> tuple[Mapping[str, object], list[str]]:
    """Add the rows of the history; return the rest of the object, and notes."""
    for end in _ends(data, start):
        try:
            rest = try_decode(data[:begin] + b'"log_history": []' + data[end + 1 :])
        except ValueError:
            continue
        if isinstance(rest, dict):
            _add_rows(table, data, start, end, path)
            return rest, []
    last = data.rfind(b"}", start)
    if last < 0:
        raise ReadError(f"{path}: cut off before the first row; nothing to read")
    _add_rows(table, data, start, last + 1, path)
    return {}, ["the file is cut off or damaged: its readable part is used"]


def _ends(data: bytes, start: int) -> list[int]:
    """Return the offsets at which the history may end, in the order in which to try them."""
    tail = max(start, len(data) - (1 << 20))
    found = [m.start() for m in _AFTER.finditer(data, tail)]
    if len(found) > 8:
        found = [*found[:6], *found[-2:]]
    if tail > start and not found:
        found = [m.start() for m in _AFTER.finditer(data, start)][:8]
    empty = re.compile(rb"\s*\]").match(data, start)
    return ([empty.end() - 1] if empty else []) + found


def _add_rows(table: RecordTable, data: bytes, start: int, end: int, path: Path) -> None:
    """Add the rows between two offsets, in chunks that end between two objects."""
    at = start
    first = True
    while at < end:
        size = 1 << 14 if first else CHUNK  # the table learns the keys from a small first chunk
        first = False
        border = _BORDER.search(data, at + size, end) if at + size < end else None
        stop = border.start() + 1 if border else end
        chunk = data[at:stop].strip().rstrip(b",")
        if chunk:
            try:
                table.add_array(b"[" + chunk + b"]")
            except (ValueError, UnicodeDecodeError, RecursionError):
                _add_intact_rows(table, chunk, path)
        at = border.end() - 1 if border else end


def _add_intact_rows(table: RecordTable, chunk: bytes, path: Path) -> None:
    """Add the objects of a damaged chunk that can be parsed; ReadError without any."""
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
    if control is True:  # set at the last step, or where a callback ends the run
        facts["ended"] = True
    return facts


def _is_fact(value: object) -> bool:
    """Return whether a value is a text, or a number of plausible size for a count or a loss."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value) < LARGEST
    return isinstance(value, str)


def _pop_summary(table: RecordTable) -> dict[str, object]:
    """Remove the closing summary row (mean loss, run time) from the curves; return it as facts."""
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
