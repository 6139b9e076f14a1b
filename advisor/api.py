"""The Python API: what `advise check` and `advise fix` do, as functions.

`import advisor` exports these names. Each keyword is the command's option of that name, and the
project's settings (advise.toml, [tool.advise]) apply as they do for the command.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from advisor.errors import AdvisorError
from advisor.findings import Edit, Finding, Plan, Report
from advisor.monitor import Monitor
from advisor.pipeline import check_paths, judge_run, make_request
from advisor.readers.options import ReadOptions
from advisor.report.escaping import one_line
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Config, Run, Series
from advisor.settings import Settings, find_settings

__all__ = [
    "AdvisorError", "Config", "Edit", "Finding", "Monitor", "Plan", "Report", "Run", "Series",
    "check", "check_all", "diagnose",
]  # fmt: skip

Place = str | PathLike[str]
Words = str | Sequence[str]
PIPE = 120  # columns where the output is not a terminal, as in the command


class CheckOptions(TypedDict, total=False):
    """The options of a check."""

    config: Place  # the config that the run was trained with
    set: Mapping[str, object]  # facts that the log lacks: {"data.samples": 5000}
    map: Mapping[str, str]  # columns that cannot be guessed: {"train/loss": "my_column"}
    steps: tuple[int | None, int | None]  # first and last step to judge
    select: Words  # codes, prefixes of codes, names or symptoms
    ignore: Words
    severity: str  # the lowest to report
    rules: Sequence[Place]  # your own files or folders
    baseline: Place  # a file of accepted findings, which are left out


def check(path: Place, **asked: Unpack[CheckOptions]) -> Report:
    """Judge the run at a path, a log or a folder, as `advise check` does.

    Keywords, as the command's options: config, set, map, steps, select, ignore, severity, rules,
    baseline. Of several runs at the path, the one whose log was written last is judged, and a
    warning names it. AdvisorError says in one line what cannot be read.
    """
    reports, unread = _check(path, asked)
    now = [report for report in reports if not report.run.facts.get("leftover")] or reports
    newest = max(reversed(now), key=lambda report: _mtime(report.run))
    if len(now) > 1:
        run = newest.run
        name = one_line(" run ".join(filter(None, (run.path, run.id))))
        several = f"{path}: holds {len(now)} runs, this is the newest: {name}"
        warnings.warn(f"{several}; advisor.check_all judges all of them", stacklevel=2)
    for message in unread:
        warnings.warn(message, stacklevel=2)
    return newest


def check_all(path: Place, **asked: Unpack[CheckOptions]) -> list[Report]:
    """Judge every run below a path, in the order of `advise check`; keywords as for `check`.

    A log that cannot be read is a warning if others can, else an AdvisorError.
    """
    reports, unread = _check(path, asked)
    for message in unread:
        warnings.warn(message, stacklevel=2)
    return reports


def diagnose(
    run: Run,
    *,
    select: Words = (),
    ignore: Words = (),
    severity: str = "",
    rules: Sequence[Place] = (),
) -> Report:
    """Judge a Run that you already have: one that was read, or one built from your own numbers."""
    settings, rulebook = _project(rules)
    request = make_request(
        settings, rulebook, select=_words(select), ignore=_words(ignore), severity=severity
    )
    return judge_run(_sound(run), rulebook, request)


def as_text(report: Report) -> str:
    """Return what `advise check` prints of one run, without colours."""
    from rich.console import Console

    from advisor.report.text import show_reports

    # 0 columns: a notebook's terminal says so
    width = shutil.get_terminal_size((PIPE, 24)).columns or PIPE
    sink = _Sink()
    console = Console(
        file=sink, width=width, color_system=None, highlight=False, force_terminal=False,
        force_jupyter=False,
    )  # fmt: skip
    show_reports(console, [report], ())
    return sink.getvalue().rstrip("\n")


def as_html(report: Report) -> str:
    """Return a Report as HTML for a notebook: the parts of the HTML page."""
    from advisor.report.runs_html import to_piece

    return to_piece(report)


class _Sink(StringIO):
    """Takes the text that print() passes on, without characters that its stream cannot encode."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(sys.stdout, "encoding", None) or "utf-8"


def _check(path: Place, asked: CheckOptions) -> tuple[list[Report], list[str]]:
    """Return the reports, and messages on what could not be read."""
    unknown = sorted(asked.keys() - CheckOptions.__annotations__.keys())
    if unknown:
        raise TypeError(
            f"unknown keyword '{unknown[0]}'; known: {', '.join(CheckOptions.__annotations__)}"
        )
    settings, rulebook = _project(asked.get("rules", ()))
    config, baseline = asked.get("config"), asked.get("baseline")
    request = make_request(
        settings,
        rulebook,
        options=ReadOptions(dict(asked.get("map", {})), _span(asked.get("steps"))),
        facts=asked.get("set"),
        config=None if config is None else Path(config),
        select=_words(asked.get("select", ())),
        ignore=_words(asked.get("ignore", ())),
        severity=asked.get("severity", ""),
        baseline=None if baseline is None else Path(baseline),
    )
    reports, failures = check_paths([Path(path)], rulebook, request)
    if not reports:
        raise AdvisorError(failures[0].message if failures else f"{path}: holds no run")
    return reports, [f"not read: {one_line(failure.message)}" for failure in failures]


def _project(rules: Sequence[Place]) -> tuple[Settings, Rulebook]:
    settings = find_settings(Path.cwd())
    return settings, load_rules([*settings.rules, *map(Path, rules)])


def _words(given: Words) -> tuple[str, ...]:
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(given)


def _span(
    steps: tuple[int | None, int | None] | None,
) -> tuple[int | None, int | None] | None:
    if steps is None:
        return None
    ends = tuple(steps) if isinstance(steps, Sequence) and not isinstance(steps, str) else ()
    if len(ends) != 2 or any(not isinstance(end, int | None) for end in ends):
        raise AdvisorError(f"steps={steps!r}: give (first, last), None for an open end")
    first, last = ends
    if first is not None and last is not None and first > last:
        raise AdvisorError(f"steps={steps!r}: {first} lies after {last}")
    return first, last


def _mtime(run: Run) -> float:
    try:
        return Path(run.path).stat().st_mtime
    except OSError:
        return 0.0


def _sound(run: Run) -> Run:
    """Return the run with its series as arrays of one length over growing steps."""
    return replace(run, series={name: _sound_series(name, s) for name, s in run.series.items()})


def _sound_series(name: str, series: Series) -> Series:
    try:
        steps = np.asarray(series.steps, np.int64)
        values = np.asarray(series.values, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise AdvisorError(f"{name}: steps are whole numbers and values are numbers") from None
    if steps.ndim != 1 or steps.shape != values.shape:
        raise AdvisorError(
            f"{name}: {steps.size} steps and {values.size} values, expected one value a step"
        )
    if not (np.diff(steps) > 0).all():
        raise AdvisorError(f"{name}: steps do not grow: sort them, and keep the last of each")
    return replace(series, steps=steps, values=values)
