"""Reading logs: each reader is asked 'is this yours?', in order; the first yes reads."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from advisor.errors import NotALog, ReadError
from advisor.readers.files import read_head
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.run import Run

# In the order in which they are asked; each is imported when its turn comes.
READERS = ("tensorboard", "trainer_state", "jsonl", "csv", "console")

__all__ = ["READERS", "ReadOptions", "read_file", "reader_of"]


def reader_of(path: Path, head: bytes | None = None) -> ModuleType | None:
    """Return the reader whose format a file has, by its content; None where none knows it."""
    head = read_head(path) if head is None else head
    if known := unreadable(path, head):
        raise ReadError(f"{path}: {known}")
    if not head.strip():
        return None
    readers = (import_module(f"advisor.readers.{name}") for name in READERS)
    return next((reader for reader in readers if reader.sniff(path, head)), None)


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
            f"{path}: not a log that can be read; known are trainer_state.json, JSON lines, CSV,"
            " TensorBoard event files and console logs"
        )
    runs: list[Run] = reader.read(path, options)
    return runs
