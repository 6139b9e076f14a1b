"""Rows of a data set: local JSON, JSONL and parquet files, or a data set of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from train.config.types import DatasetConfig
from train.data.files import FILE_KINDS, count_rows, files_of, read_files
from train.data.slices import Split, parse_split
from train.data.types import Row
from train.errors import DataError, MissingExtra

_BLOCK = 100  # rows


@dataclass(frozen=True, slots=True)
class RowSource:
    """Rows that can be read again and again in one order. ``read(n)`` starts at row n."""

    label: str
    read: Callable[[int], Iterator[Row]]


def open_source(config: DatasetConfig) -> RowSource:
    """Return the rows that ``config`` names, its split and limit applied."""
    refuse_delta(config)
    path = Path(config.source).expanduser()
    split = parse_split(config.split)
    if path.exists():
        source, size = _open_local(path, split)
    elif _looks_local(config.source):
        raise DataError(f"dataset: {config.source}: no such file or folder")
    else:
        source, size = _open_hub(config, split)
    first, last = split.bounds(size)
    return _cut(source, first, _nearest_end(last, first, config.limit_dataset_samples))


def refuse_delta(config: DatasetConfig) -> None:
    """Refuse Delta tables, in the forms that AutoModel's streaming data set takes."""
    named = config.source.startswith(("delta://", "dbfs:/", "abfss://", "s3://", "gs://"))
    table = "/" not in config.source and config.source.count(".") == 2
    log = (Path(config.source) / "_delta_log").is_dir() if config.source else False
    if named or log or (table and not Path(config.source).exists()):
        raise DataError(
            f"dataset: {config.source}: Delta tables are not read; export it to parquet or JSONL"
        )


def _looks_local(source: str) -> bool:
    return source.startswith(("/", "./", "../", "~")) or source.endswith(FILE_KINDS)


def _nearest_end(last: int | None, first: int, limit: int | None) -> int | None:
    ends = [end for end in (last, None if limit is None else first + limit) if end is not None]
    return min(ends) if ends else None


def _cut(source: RowSource, first: int, last: int | None) -> RowSource:
    def read(start: int) -> Iterator[Row]:
        count = None if last is None else max(0, last - first - start)
        return islice(source.read(first + start), count)

    return RowSource(source.label, read)


def _open_local(path: Path, split: Split) -> tuple[RowSource, Callable[[], int]]:
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        return wrap_dataset(
            str(path), _pick(_datasets().load_from_disk(str(path)), str(path), split)
        )
    files = files_of(path, split.name)
    source = RowSource(str(path), lambda start: islice(read_files(files), start, None))
    return source, lambda: count_rows(files)


def _open_hub(config: DatasetConfig, split: Split) -> tuple[RowSource, Callable[[], int]]:
    datasets = _datasets()
    try:
        found = datasets.load_dataset(
            config.source, config.name, split=split.name, streaming=config.streaming
        )
    except Exception as error:  # whatever the hub's client raises: one line of it is enough
        line = str(error).strip().split("\n")[0]
        raise DataError(
            f"dataset: {config.source!r} ({split.name}) cannot be had from the hub: {line}; "
            "check the name and the network, or give the path of a local JSONL file"
        ) from error
    return wrap_dataset(config.source, found)


def wrap_dataset(label: str, found: Any) -> tuple[RowSource, Callable[[], int]]:
    """Return a data set of the `datasets` package. Read by blocks: read row by row within a
    loader's worker, a streamed one would hand out that worker's files only, and we deal out
    rows."""

    def read(start: int) -> Iterator[Row]:
        for block in (found.skip(start) if start else found).iter(_BLOCK):
            columns = list(block)
            for values in zip(*block.values(), strict=True):
                yield dict(zip(columns, values, strict=True))

    def size() -> int:
        if hasattr(found, "__len__"):
            return len(found)
        raise DataError(
            f"dataset: {label}: a streamed split has no known length; "
            "use row numbers such as train[:256]"
        )

    return RowSource(label, read), size


def _pick(found: Any, label: str, split: Split) -> Any:
    """Return the split of a saved data set; one that was saved alone has no name."""
    if not isinstance(found, dict):
        return found
    if split.name not in found:
        raise DataError(f"dataset: {label}: no split {split.name!r}; it has {', '.join(found)}")
    return found[split.name]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra(
            "dataset: data sets of the hub need `pip install 'finetune-advisor[train]'`"
        ) from error
    return datasets
