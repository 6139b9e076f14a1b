"""News of a watched run as one line each: for people in a pipe, and as JSON for programs."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from advisor.findings import Finding, Report
from advisor.monitor import Change
from advisor.report.contract import edit_of, finding_of, report_of, strict
from advisor.report.escaping import one_line
from advisor.watch import Followed, News
from advisor.watch.history import last_step


def text_of(news: News) -> str:
    """Return the line for people: when, which run, what."""
    name = news.path if news.run is None else name_of(news.run)
    return one_line(f"{time.strftime('%H:%M:%S')} {name}: {what_of(news)}")


def name_of(run: Followed) -> str:
    return f"{run.path} run {run.id}" if run.id else str(run.path)


def what_of(news: News) -> str:
    """Return what has happened, without time and run."""
    if news.change is not None:
        return change_text(news.change)
    run = news.run
    if run is None:
        return news.text if news.kind != "waiting" else "waiting, it is not there yet"
    at = f"at step {last_step(run.run)}"
    if news.kind == "begun":
        return f"a run of {run.run.format}, {at}"
    if news.kind == "continued":
        return "the log goes on in a new file"
    if news.kind == "restarted":
        return "the log starts over: a new run"
    return f"ended {at}, {run.status}"


def change_text(change: Change) -> str:
    """Return a Change in words, and what to do about it."""
    finding = change.finding
    head = f"step {change.step} {change.kind} {finding.severity} {finding.code} {finding.name}"
    if change.kind == "withdrawn":
        return f"{head}: " + (f"{change.by} takes its place" if change.by else "it no longer holds")
    do = f" Do: {' '.join(finding.do.split())}" if finding.do and change.kind == "raised" else ""
    stops = " [stops the run]" if change.action == "stop" else ""
    return f"{head}: {finding.message}{stops}{do}"


def json_of(news: News) -> str:
    """Return the news as one line of strict JSON: the contract's fields, ``kind`` and ``path``."""
    run = news.run
    row: dict[str, Any] = {"kind": news.kind, "path": news.path}
    row |= {"id": run.id if run is not None else "", "time": round(time.time(), 3)}
    if news.change is not None and run is not None:
        row |= _change(news.change, run.report) | {"status": run.status}
    elif run is not None:
        row |= {"step": last_step(run.run)}
        if news.kind == "report" and run.report is not None:
            row |= report_of(run.report)
        else:
            row |= {"format": run.run.format}
    else:
        row["message"] = news.text
    return msgspec.json.encode(strict(row)).decode()


def change_json(change: Change, path: str, report: Report | None = None) -> str:
    """Return a Change of a training in this process as such a JSON line."""
    row: dict[str, Any] = {"kind": change.kind, "path": path, "id": ""}
    row |= {"time": round(time.time(), 3)} | _change(change, report)
    return msgspec.json.encode(strict(row)).decode()


def _change(change: Change, report: Report | None) -> dict[str, Any]:
    return {
        "step": change.step,
        "status": report.status if report is not None else "unknown",
        **finding_of(change.finding),
        "action": change.action,
        "by": change.by or None,
        "edits": _edits(change.finding, report),
    }


def _edits(finding: Finding, report: Report | None) -> list[dict[str, Any]]:
    """Return the Edits of the run's Plan that this finding proposes."""
    plan = () if report is None else report.plan.edits
    return [edit_of(edit) for edit in plan if finding.code in edit.because]
