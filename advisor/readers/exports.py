"""Tables exported by trackers: column names may hold the run's name, or lack the metric's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from advisor.readers import names
from advisor.readers.columns import Columns

_OF_RUN = re.compile(r"^(?P<run>.+?) - (?P<metric>[^-]+(?:-[^-]+)*)$")  # W&B: 'run - metric'
_BOUND = re.compile(r"__(MIN|MAX)$")
_TAG_IN_NAME = re.compile(r"tag[-_](?P<tag>.+)$")  # TensorBoard: 'run-.-tag-train_loss.csv'


def rename_columns(columns: Columns, path: Path) -> Iterator[tuple[str, Columns, list[str]]]:
    """Yield the id, the columns and the notes of each run; any other table comes unchanged."""
    charts = _charts(columns)
    if charts:
        places = {k: v for k, v in columns.data.items() if names.is_place(k)}
        for run, found in charts.items():
            data = {**places, **{metric: columns.data[k] for metric, k in found.items()}}
            yield run if len(charts) > 1 else "", Columns(columns.rows, data), []
        return
    notes: list[str] = []
    if {names.plain(k) for k in columns.data} == {"wall_time", "step", "value"}:
        value = next(k for k in columns.data if names.plain(k) == "value")
        tag = _TAG_IN_NAME.search(path.name.split(".csv")[0])
        metric = tag["tag"] if tag else path.name.split(".csv")[0]
        if not names.is_known(metric):
            metric = "loss" if "loss" in metric.lower() else metric
        columns.data[metric] = columns.data.pop(value)
        notes.append(f"the column 'Value' is taken as '{metric}', from the file's name")
    yield "", columns, notes


def _charts(columns: Columns) -> dict[str, dict[str, str]]:
    """Return run -> metric -> column where every metric is named 'run - metric', else {}."""
    charts: dict[str, dict[str, str]] = {}
    for native in columns.data:
        if names.is_place(native):
            continue
        match = _OF_RUN.match(native)
        if match is None:
            return {}
        if not _BOUND.search(native):
            charts.setdefault(match["run"], {})[match["metric"]] = native
    return charts
