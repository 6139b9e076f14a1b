"""Reading logs: the first reader in ``READERS`` whose ``sniff`` accepts a file reads it."""

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
    """One reader: its module, and which files of a folder may be its logs.

    ``files`` is a pattern searched in the lower-case file name. ``role`` says how such a file
    relates to the others of its folder: ``states`` are the states of a run's checkpoints, of which
    the one with the most steps is used; ``tables`` and TensorBoard ``events`` hold one run or
    several; ``texts`` may print the same run again.
    """

    name: str
    files: str
    role: Role
    example: str  # for the error message when a folder holds no log
    format: str

    @property
    def module(self) -> ModuleType:
        """The reader's module, imported on first use."""
        return import_module(f"advisor.readers.{self.name}")


_JSON = r"(train|valid|val|eval|log|metric|history|scalar|loss|result|curve).*\.json$"
_TEXT = r"\.(log|txt|out|err|stdout|stderr)(\.\d+)?$|^(log|nohup|stdout|stderr)$|\.[eo]\d{3,}$"
# In the order in which they are tried; a module is imported when its turn comes.
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
    """Return the reader that recognises the file's content; None where none does.

    ReadError where the format is known but not supported.
    """
    head = read_head(path) if head is None else head
    if known := explain_unsupported(path, head):
        raise ReadError(f"{path}: {known}")
    if not head.strip():
        return None
    modules = (entry.module for entry in READERS)
    return next((module for module in modules if module.sniff(path, head)), None)


def role_of(name: str) -> Role | None:
    """Return the role of a file with that lower-case name; None where it is no log."""
    return next((entry.role for entry in READERS if re.search(entry.files, name)), None)


def explain_unsupported(path: Path, head: bytes) -> str:
    """Return what an unsupported format is and the workaround for it; '' for any other file."""
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
    """Return the Runs of one file; ReadError says in one line what is wrong."""
    head = read_head(path)
    if not head.strip(b" \t\r\n\0"):
        raise ReadError(f"{path}: the file is empty")
    reader = reader_of(path, head)
    if reader is None:
        raise NotALog(
            f"{path}: not a log that can be read; known formats are "
            + ", ".join(entry.format for entry in READERS)
        )
    runs: list[Run] = reader.read(path, options)
    return runs
