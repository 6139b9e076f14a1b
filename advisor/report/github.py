"""Findings as GitHub workflow commands: annotations on the config or the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from advisor.dialects.words import language_of, speak
from advisor.findings import Report
from advisor.pipeline import Failure
from advisor.report.escaping import clean, plain

_LEVEL = {"error": "error", "warning": "warning", "info": "notice"}


def _data(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def lines(reports: Sequence[Report], failures: Sequence[Failure]) -> Iterator[str]:
    """Yield one workflow command for each finding and failure."""
    for report in reports:
        place = _property(report.run.path)
        if report.status == "unknown":
            text = _data(clean(speak(report.unknown_because, language_of(report.run))))
            yield f"::warning file={place},title=cannot be judged::{text}"
        for f in report.findings:
            title = _property(f"{f.code} {f.name}")
            text = _data(clean(f"{f.message}. {f.do}"))
            yield f"::{_LEVEL[f.severity]} file={place},title={title}::{text}"
    for failure in failures:
        text = _data(clean(failure.message))
        yield f"::error file={_property(failure.path)},title=not read::{text}"
