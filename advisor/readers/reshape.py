"""Reshaping the columns of any log to one metric per column."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from advisor.readers import names
from advisor.readers.columns import Columns
from advisor.run import IntArray

_HELD_OUT = re.compile(r"(?i)\s*(e?val|valid|validation|evaluation|dev|test)(ing|uation)?\s*")
_TRAINING = re.compile(r"(?i)\s*train(ing)?\s*")
# Logs of one number per row: the column of names and the column of numbers.
_NAME_COLUMNS = ("name", "tag", "metric", "key", "metric_name")
_VALUE_COLUMNS = ("value", "metric_value", "val", "scalar")
_PARTS = re.compile(r"^(train|val)/(box|cls|dfl|obj|seg|pose|kobj)_loss$")


def reshape(columns: Columns) -> list[str]:
    """Reshape columns in place; return notes."""
    _widen(columns)
    _split_sides(columns)
    _drop_summary(columns)
    return _sum_parts(columns)


def _widen(columns: Columns) -> None:
    """Turn rows of a name and a value into one column per name."""
    value = columns.find(_VALUE_COLUMNS)
    named = next((n for n in columns.texts if names.plain(n) in _NAME_COLUMNS), None)
    if value is None or named is None:
        return
    rows, values = columns.column(value)
    words = columns.texts[named]
    if sum(map(len, words.values())) < rows.size:
        return
    del columns.data[value]
    for word, at in words.items():
        inside = np.isin(rows, at)
        columns.add(word, rows[inside], values[inside])


def _split_sides(columns: Columns) -> None:
    """Split loss and accuracy by a column that says 'train' or 'val' in words."""
    for words in columns.texts.values():
        held = [row for word, rows in words.items() if _HELD_OUT.fullmatch(word) for row in rows]
        if not held:
            continue
        trained = any(_TRAINING.fullmatch(word) for word in words)
        at = np.array(held)
        for native in list(columns.data):
            name = names.canonical(native)
            if name in ("train/loss", "train/accuracy"):
                _split(columns, native, f"eval_{name.removeprefix('train/')}", at, trained)


def _split(columns: Columns, native: str, other: str, held: IntArray, whole: bool) -> None:
    """Move the ``held`` rows of a column to ``other``; all of its rows only if ``whole``."""
    rows, values = columns.column(native)
    inside = np.isin(rows, held)
    if not inside.any() or (inside.all() and not whole):
        return
    if inside.all():
        del columns.data[native]
    else:
        columns.data[native] = ([rows[~inside]], [values[~inside]])
    columns.add(other, rows[inside], values[inside])


def _drop_summary(columns: Columns) -> None:
    """Remove the mean loss of a closing summary row, which is no point of the curve."""
    if "train_runtime" not in columns.data or "train_loss" not in columns.data:
        return
    closing = columns.column("train_runtime")[0]
    rows, values = columns.column("train_loss")
    keep = ~np.isin(rows, closing)
    if keep.any():
        columns.data["train_loss"] = ([rows[keep]], [values[keep]])
    else:
        del columns.data["train_loss"]


def _sum_parts(columns: Columns) -> list[str]:
    """Add the sum of the losses that detection logs give in parts; return notes."""
    notes = []
    for side, target in (("train", "train/loss"), ("val", "val/loss")):
        parts = [n for n in columns.data if (m := _PARTS.match(names.plain(n))) and m[1] == side]
        if len(parts) < 2 or target in columns.data:
            continue
        rows, total = columns.column(parts[0])
        others = [columns.column(name) for name in parts[1:]]
        if all(np.array_equal(more[0], rows) for more in others):
            columns.add(target, rows, np.sum([total, *(more[1] for more in others)], axis=0))
            notes.append(f"{target} is the sum of {', '.join(parts)}")
    return notes


def pop_last_value(columns: Columns, key: str) -> Mapping[str, float]:
    """Remove a column that repeats one fact of the run; return key -> its last value, if any."""
    if key not in columns.data:
        return {}
    values = columns.column(key)[1]
    del columns.data[key]
    finite = values[np.isfinite(values)]
    return {key: float(finite[-1])} if finite.size and abs(finite[-1]) < 1e15 else {}
