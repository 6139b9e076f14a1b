"""A record of what `advise fix` changed, and whether it helped the next run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from advisor.base.atomic import write_atomic
from advisor.base.numbers import is_number, number, same
from advisor.base.redact import redact_text, redact_value
from advisor.compare.runs import Comparison, compare, ended_as_planned
from advisor.findings import Edit, Followup, Report, Reversal, Verdict
from advisor.readers.folders import run_folder
from advisor.rulebook.rule import Rulebook
from advisor.run import Config, Run, Series

NAME = "advise-fix.json"
MOST_POINTS, MOST_FIXES, MOST_SIBLINGS = 400, 20, 500
LARGEST = 1 << 22  # bytes: larger records are not read
_CURVES = ("eval/loss", "train/loss")
_FACTS = ("max_steps", "total_steps", "global_step", "num_train_epochs", "train_runtime",
          "objective")  # fmt: skip
_LOGGED_RATE = 0.1  # relative tolerance: a log shows a peak rate only at its logging steps
_ALIKE = 0.4  # relative tolerance: first losses on the same data are about equal
_CLOCKS = 60.0  # seconds by which the clocks of two machines may differ
_DERIVED = ("data.samples", "lr_scheduler.lr_warmup_steps")


class _Change(msgspec.Struct, frozen=True):
    """One edit of a fix, under canonical and native key."""

    key: str
    native_key: str
    old: Any
    new: Any
    native_old: Any = None
    native_new: Any = None
    because: tuple[str, ...] = ()


class _Curve(msgspec.Struct, frozen=True):
    """A loss curve, thinned to 400 points; both lists have the same length."""

    steps: list[int]
    values: list[float | None]  # None: not finite


class Fix(msgspec.Struct, frozen=True):
    """One fix: what it changed, and the run that it was made for."""

    run: str  # path
    format: str  # of the log
    time: float  # seconds since the epoch
    config: str | None  # the file that it was written to
    changes: tuple[_Change, ...]
    values: dict[str, Any]  # config values of the run, canonical
    facts: dict[str, Any]
    curves: dict[str, _Curve]
    findings: tuple[str, ...] = ()


class _File(msgspec.Struct):
    """The contents of a record: its newest 20 fixes."""

    schema: int = 1
    fixes: list[Fix] = msgspec.field(default_factory=list)


def record_fix(report: Report, edits: Sequence[Edit], written: Path | None) -> str:
    """Record a fix in the run's folder and beside the config; return what failed, '' for nothing.

    ``written`` is the config that the edits were written to.
    """
    run = report.run
    fix = Fix(
        redact_text(run.path), run.format, round(time.time(), 3),
        None if written is None else redact_text(str(written)),
        tuple(map(_change_of, edits)),
        {key: redact_value(key, value) for key, value in run.config.values.items()},
        {name: run.facts[name] for name in _FACTS if name in run.facts},
        {name: _curve_of(run.series[name]) for name in _CURVES if name in run.series},
        tuple(f.code for f in report.findings if f.severity != "info"),
    )  # fmt: skip
    folders = {run_folder(Path(run.path)).resolve()}
    folders |= {written.parent.resolve()} if written is not None else set()
    failed = [why for folder in sorted(folders) if (why := _add_to_record(folder / NAME, fix))]
    return "; ".join(failed)


def _change_of(edit: Edit) -> _Change:
    return _Change(
        edit.key, edit.native_key or edit.key, redact_value(edit.key, edit.old),
        redact_value(edit.key, edit.new), redact_value(edit.native_key, edit.native_old),
        redact_value(edit.native_key, edit.native_new), edit.because,
    )  # fmt: skip


def _curve_of(series: Series) -> _Curve:
    at = np.arange(len(series))
    if at.size > MOST_POINTS:
        at = np.unique(np.linspace(0, at.size - 1, MOST_POINTS).astype(int))
    values = [v if math.isfinite(v) else None for v in series.values[at].tolist()]
    return _Curve(series.steps[at].tolist(), values)


def _add_to_record(place: Path, fix: Fix) -> str:
    """Add a fix to a record, and return what failed; another file of that name stays untouched."""
    try:
        held = _read_record(place) if place.exists() or place.is_symlink() else []
        if held is None or place.is_symlink():
            return (
                f"{place}: is not a record of fixes; move it away so that this fix can be recorded"
            )
        kept = [other for other in held if (other.run, other.config) != (fix.run, fix.config)]
        text = msgspec.json.encode(_File(1, [*kept, fix][-MOST_FIXES:]))
        write_atomic(place, text.decode() + "\n")
    except OSError as error:
        return f"{place}: this fix is not recorded ({error.strerror})"
    return ""


def _read_record(place: Path) -> list[Fix] | None:
    """Return the fixes of a record; None where it is too large, damaged, or not a record."""
    try:
        if not place.is_file() or place.stat().st_size > LARGEST:
            return None
        return msgspec.json.decode(place.read_bytes(), type=_File).fixes
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def judge_followup(report: Report, rulebook: Rulebook) -> Followup | None:
    """Return whether the newest fix that this run was trained with helped; None without a fix."""
    if report.run.facts.get("leftover"):
        return None
    for place in _find_records(report.run):
        for fix in sorted(_read_record(place) or (), key=lambda fix: -fix.time):
            before = _rebuild_before(fix)
            if not _is_same_run(before, report.run) and _is_trained_with(fix, report.run):
                if _is_elsewhere(place, report.run) and not _may_follow(before, report.run):
                    continue
                return _judge(fix, report, compare([before, report.run], rulebook))
    return None


def _find_records(run: Run) -> Iterator[Path]:
    """Yield the records that may concern a run: in its folder, its config's, and siblings."""
    own = run_folder(Path(run.path))
    folders = [own] if run.config.path is None else [own, Path(run.config.path).parent]
    yield from dict.fromkeys(folder / NAME for folder in folders if (folder / NAME).is_file())
    try:
        with os.scandir(own.resolve().parent) as found:
            names = [e.path for _, e in zip(range(MOST_SIBLINGS), found, strict=False)]
    except OSError:
        return
    besides = (Path(name) / NAME for name in sorted(names))
    yield from (place for place in besides if place.is_file() and place.parent not in folders)


def _is_elsewhere(place: Path, run: Run) -> bool:
    return place.parent.resolve() != run_folder(Path(run.path)).resolve()


def _may_follow(before: Run, now: Run) -> bool:
    """Return whether a run in another folder may be the rerun: not older, and on like data."""
    try:
        if Path(now.path).stat().st_mtime < Path(before.path).stat().st_mtime - _CLOCKS:
            return False
    except OSError:
        pass  # the earlier run was deleted
    old, new = before.series.get("train/loss"), now.series.get("train/loss")
    if old is None or new is None or old.steps[0] != new.steps[0]:
        return True
    first, again = abs(float(old.values[0])), abs(float(new.values[0]))
    return not abs(first - again) > _ALIKE * max(first, again)  # NaN proves nothing


def _rebuild_before(fix: Fix) -> Run:
    series = {}
    for name, curve in fix.curves.items():
        values = [math.nan if v is None else v for v in curve.values]
        if len(values) == len(curve.steps) and values:
            series[name] = Series(name, np.array(curve.steps, np.int64), np.array(values))
    return Run(fix.run, fix.format, series, "before", Config(fix.values), facts=fix.facts)


def _is_same_run(before: Run, now: Run) -> bool:
    """Return whether a log still holds the earlier run: the same curve and planned steps."""
    if before.facts.get("max_steps") != now.facts.get("max_steps"):
        return False
    for name in _CURVES:
        old, new = before.series.get(name), now.series.get(name)
        if old is not None and new is not None:
            shared, at, there = np.intersect1d(
                old.steps, new.steps, assume_unique=True, return_indices=True
            )
            alike = np.isclose(old.values[at], new.values[there], rtol=1e-9, equal_nan=True)
            return bool(shared.size) and bool(np.mean(alike) > 0.9)
    return False


def _is_trained_with(fix: Fix, run: Run) -> bool:
    """Return whether a run was trained with the earlier config plus the fix, and nothing else."""
    values, moved = run.config.values, {change.key: change.new for change in fix.changes}
    known = [key for key in moved if key in values]
    if not any(not same(values[key], fix.values.get(key)) for key in known):
        return False
    if not all(_has_value(key, moved[key], run) for key in known):
        return False
    others = [key for key in fix.values if key in values and key not in (*moved, *_DERIVED)]
    return all(_has_value(key, fix.values[key], run) for key in others)


def _has_value(key: str, wanted: object, run: Run) -> bool:
    value = redact_value(key, run.config.values[key])  # as in the record
    if key == "optimizer.lr" and is_number(value) and is_number(wanted):
        return abs(number(value) - number(wanted)) <= _LOGGED_RATE * number(wanted)
    return same(value, wanted)


def _judge(fix: Fix, report: Report, comparison: Comparison) -> Followup:
    pick = comparison.pick
    codes = {code for change in fix.changes for code in change.because}
    standing = {finding.code for finding in report.findings}
    gone = sorted(codes - standing & codes) if codes <= {*report.ran} else []
    said = _format_losses(comparison)
    back: tuple[Reversal, ...] = ()
    verdict: Verdict
    if pick.clear and pick.index == 1:
        verdict, message = "helped", f"the change helped: {said}"
    elif pick.clear:
        back = tuple(_make_reversal(change) for change in fix.changes)
        cure = _suggest_cure(fix, report)
        verdict, message = "worse", f"the change made it worse: {said}; {cure}"
    elif pick.index is not None and codes and len(gone) == len(codes):
        verdict, message = "helped", f"the change helped: {', '.join(gone)} is gone; {said}"
    elif pick.index is not None:
        verdict, message = "even", f"the change made no clear difference: {said}"
    else:
        verdict, message = "unknown", f"whether the change helped is not judged: {pick.why}"
    if not ended_as_planned(report.run) and verdict != "unknown":
        message += "; so far: this run has not reached its end"
    what = ", ".join(
        f"{c.native_key} {_format_value(c, True)} -> {_format_value(c)}" for c in fix.changes
    )
    return Followup(verdict, f"{what}: {message}", fix.run, back)


def _suggest_cure(fix: Fix, report: Report) -> str:
    """Return what to do about a change that made it worse: undo it, or take the plan's value."""
    moved = {change.key for change in fix.changes}
    again = [
        e for e in report.plan.edits if e.key in moved and e.resolved and e.applies != "advice"
    ]
    if not again:
        return "undo it"
    keys = ", ".join(dict.fromkeys(edit.native_key or edit.key for edit in again))
    return f"undo it, or take the next value of {keys} below"


def _format_losses(comparison: Comparison) -> str:
    """Return text with the losses of both runs, the step, and the noise."""
    pick = comparison.pick
    by_lowest = pick.why.startswith("lengths differ")
    if by_lowest:
        values = [float(np.nanmin(c.values)) for c in comparison.contestants]
    else:
        row = next((row for row in comparison.rows if row.step == pick.step), None)
        values = [math.nan if c.value is None else c.value for c in row.cells] if row else []
    if len(values) != 2:
        return pick.why
    where = "the lowest of each" if by_lowest else f"at step {pick.step}"
    noise = (
        f", {pick.margin / pick.noise:.1f} times the noise" if pick.noise and pick.margin else ""
    )
    return f"{comparison.series} {values[0]:.4g} -> {values[1]:.4g} ({where}{noise})"


def _make_reversal(change: _Change) -> Reversal:
    return Reversal(change.key, change.native_key, change.new, change.old)


def _format_value(change: _Change, before: bool = False) -> str:
    native = change.native_old if before else change.native_new
    value = (change.old if before else change.new) if native is None else native
    return "unset" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
