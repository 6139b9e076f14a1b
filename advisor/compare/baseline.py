"""A baseline: findings that a project accepts, kept in a file and left out of later checks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from advisor.base.atomic import read_regular, write_atomic
from advisor.errors import ConfigError
from advisor.findings import Finding, Report
from advisor.run import Run

VERSION = 1


class Accepted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted finding."""

    path: str  # of the run's log, relative to the baseline file
    code: str  # of the rule
    id: str = ""  # of the run, where a log holds several


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of a baseline file."""

    version: int
    accepted: list[Accepted]


def read_baseline(path: Path) -> frozenset[Accepted]:
    """Return the findings that a baseline file accepts; ConfigError where it is not one."""
    try:
        found = msgspec.json.decode(read_regular(path), type=Baseline)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); make it with --write-baseline {path}"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not a baseline file: {error}") from None
    if found.version != VERSION:
        raise ConfigError(f"{path}: version {found.version} of a baseline, this reads {VERSION}")
    return frozenset(found.accepted)


def write_baseline(path: Path, reports: Iterable[Report]) -> int:
    """Write all findings of the reports as accepted, and return their number.

    ConfigError where the file cannot be written, or exists and is not a baseline.
    """
    if path.is_symlink() and not path.exists():
        raise ConfigError(f"{path}: is a link to no file; remove it, or give another file")
    if path.exists():
        read_baseline(path)  # never overwrite another kind of file
    accepted = sorted(
        {_entry(report.run, finding, path) for report in reports for finding in report.findings},
        key=lambda a: (a.path, a.id, a.code),
    )
    text = msgspec.json.format(msgspec.json.encode(Baseline(VERSION, accepted)), indent=1)
    try:
        write_atomic(path.resolve(), text.decode() + "\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
    return len(accepted)


def drop_accepted(report: Report, accepted: frozenset[Accepted], path: Path) -> Report:
    """Return the Report without the findings accepted by the baseline at ``path``.

    Its status follows from the rest.
    """
    kept = tuple(f for f in report.findings if _entry(report.run, f, path) not in accepted)
    if len(kept) == len(report.findings):
        return report
    severities = {f.severity for f in kept}
    status = report.status
    if status in ("failing", "warning") and "error" not in severities:
        status = "warning" if "warning" in severities else "ok"
    return replace(report, findings=kept, status=status)


def _entry(run: Run, finding: Finding, baseline: Path) -> Accepted:
    place = os.path.relpath(Path(run.path).resolve(), baseline.parent.resolve())
    return Accepted(Path(place).as_posix(), finding.code, run.id)
