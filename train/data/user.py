"""A user's own data set, by dotted path or ``file.py:attr``: code, so it wants the opt-in."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from train.config.types import DatasetConfig
from train.data.sources import RowSource
from train.data.types import IGNORE, Row, Sample
from train.errors import DataError, TrainConfigError


def open_user(config: DatasetConfig, tokenizer: Any, allowed: bool) -> RowSource:
    """Return the rows that the user's class or function yields."""
    target = config.target
    if not allowed:
        raise TrainConfigError(
            f"dataset: {target} is code of your own; allow it with --allow-user-modules "
            "or NEMO_ENABLE_USER_MODULES=1"
        )
    made = load_target(target)
    options = {**_arguments_for(made, config, tokenizer), **config.options}

    def read(start: int) -> Iterator[Row]:
        try:
            found = made(**options) if callable(made) else made
        except (TypeError, ValueError, OSError, KeyError, ImportError) as error:
            raise DataError(f"dataset: {target} failed: {type(error).__name__}: {error}") from error
        return islice(_rows(found, target), start, config.limit_dataset_samples)

    return RowSource(target, read)


def load_target(target: str) -> Any:
    """Return the object behind ``package.module.attr`` or ``path/file.py:attr``."""
    try:
        if ".py:" in target:
            file, _, name = target.rpartition(":")
            return getattr(_load_file(Path(file).expanduser()), name)
        module, _, name = target.rpartition(".")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError, FileNotFoundError) as error:
        raise TrainConfigError(
            f"dataset: {target} cannot be loaded: {error}; "
            "write package.module.name or path/file.py:name"
        ) from error


def _load_file(path: Path) -> Any:
    name = f"_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and loader workers look it up there
    spec.loader.exec_module(module)
    return module


def _arguments_for(made: Any, config: DatasetConfig, tokenizer: Any) -> dict[str, object]:
    """Return the arguments that the signature asks for by name and that we have."""
    if not callable(made):
        return {}
    try:
        asked = inspect.signature(made).parameters
    except (TypeError, ValueError):
        return {}
    offers = {"tokenizer": tokenizer, "split": config.split, "seq_length": config.seq_length}
    return {k: v for k, v in offers.items() if k in asked and v is not None}


def _rows(found: object, target: str) -> Iterator[Row]:
    if isinstance(found, Iterable):
        yield from found
    elif hasattr(found, "__getitem__") and hasattr(found, "__len__"):
        for at in range(len(found)):
            yield found[at]
    else:
        raise DataError(f"dataset: {target} gave a {type(found).__name__}, expected rows")


def sample_of_row(row: object, where: str) -> Sample | None:
    """Return the Sample of a row that is tokenised already; None for other rows."""
    if isinstance(row, Sample):
        return row
    if not isinstance(row, Mapping):
        raise DataError(f"dataset: {where}: a {type(row).__name__}, expected a dict or a Sample")
    if "input_ids" not in row:
        return None
    ids = [int(token) for token in row["input_ids"]]
    labels = [int(label) for label in row.get("labels", ids)]
    if len(labels) != len(ids):
        raise DataError(f"dataset: {where}: {len(ids)} input_ids and {len(labels)} labels")
    if any(label not in (IGNORE, token) for label, token in zip(labels, ids, strict=True)):
        raise DataError(
            f"dataset: {where}: labels must be the input_ids or {IGNORE}; "
            "do not shift them, that is done later"
        )
    return Sample(ids, labels)
