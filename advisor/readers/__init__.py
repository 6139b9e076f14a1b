"""Reading logs: each reader is asked 'is this yours?', in order; the first yes reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

from advisor.errors import NotALog, ReadError
from advisor.readers.files import read_head
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.run import Run

Role = Literal["events", "states", "tables", "texts"]


@dataclass(frozen=True, slots=True)
class ReaderEntry:
    """One reader: its module, and what may be its log in a folder.

    ``files`` is a pattern searched in the file's name in small letters. ``role`` says what such a
    file is beside the others of its folder: the ``states`` of a run's checkpoints, of which the
    furthest counts; ``tables`` and TensorBoard ``events`` of one run or several; ``texts``, which
    may be the same run once more, printed.
    """

    name: str
    files: str
    role: Role
    example: str  # for the message where nothing is found
    format: str

    @property
    def module(self) -> ModuleType:
        return import_module(f"advisor.readers.{self.name}")


_JSON = r"(train|valid|val|eval|log|metric|history|scalar|loss|result|curve).*\.json$"
_TEXT = r"\.(log|txt|out|err|stdout|stderr)(\.\d+)?$|^(log|nohup|stdout|stderr)$|\.[eo]\d{3,}$"
# In the order in which they are asked; a module is imported when its turn comes.
READERS = (
    ReaderEntry(
        "tensorboard", "tfevents", "events", "events.out.tfevents.*", "TensorBoard event files"
    ),
    ReaderEntry(
        "trainer_state", r"^trainer_state\.json$", "states", "trainer_state.json",
        "trainer_state.json",
    ),
    ReaderEntry("jsonl", rf"\.(jsonl|ndjson)$|{_JSON}", "tables", "*.jsonl", "JSON lines"),
    ReaderEntry("csv", r"\.(csv|tsv)$", "tables", "*.csv", "CSV"),
    ReaderEntry("console", _TEXT, "texts", "*.log", "console logs"),
)  # fmt: skip

__all__ = ["READERS", "ReadOptions", "read_file", "reader_of"]


def reader_of(path: Path, head: bytes | None = None) -> ModuleType | None:
    """Return the reader whose format a file has, by its content; None where none knows it."""
    head = read_head(path) if head is None else head
    if known := unreadable(path, head):
        raise ReadError(f"{path}: {known}")
    if not head.strip():
        return None
    modules = (entry.module for entry in READERS)
    return next((module for module in modules if module.sniff(path, head)), None)


def role_of(name: str) -> Role | None:
    """Return what a file of that name, in small letters, is in its folder; None: no log."""
    return next((entry.role for entry in READERS if re.search(entry.files, name)), None)


def unreadable(path: Path, head: bytes) -> str:
    """Name a format that is known but not read yet, with the way round; '' otherwise."""
    if path.suffix == ".wandb" or head.startswith(b":W&B"):
        return (
            "a W&B run file, which cannot be read yet; export its history as CSV,"
            " or give the output.log beside it"
        )
    if path.name == "mlflow.db" or (head.startswith(b"SQLite format 3") and b"mlflow" in head):
        return "an MLflow store, which cannot be read yet; export the metrics as CSV"
    archive = head.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04"))
    if path.name == "training_args.bin" or archive:
        return "a pickle or archive, which is never opened; give the log beside it"
    return ""


def read_file(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Read the Runs of one file; ReadError says what is wrong in one line."""
    head = read_head(path)
    if not head.strip(b" \t\r\n\0"):
        raise ReadError(f"{path}: the file is empty")
    reader = reader_of(path, head)
    if reader is None:
        raise NotALog(
            f"{path}: not a log that can be read; known are "
            + ", ".join(entry.format for entry in READERS)
        )
    runs: list[Run] = reader.read(path, options)
    return runs
