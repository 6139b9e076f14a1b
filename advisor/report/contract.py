"""The output contract: Reports as one JSON object. Fields may be added, never renamed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from advisor.base.redact import redact_value
from advisor.dialects.words import language_of, speak
from advisor.findings import Best, Edit, Finding, Followup, Report, Written
from advisor.pipeline import Failure

SCHEMA = 1


def strict(value: object) -> object:
    """Return a value that can be printed as JSON: non-finite numbers as text, secrets hidden."""
    return redact_value("", _strict(value))


def _strict(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, str):  # a file name may hold bytes that are not UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def finding_of(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "symptom": finding.symptom,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "confidence_from": finding.confidence_from,
        "message": finding.message,
        "do": finding.do,
        "first_step": finding.first_step,
        "last_step": finding.last_step,
        "evidence": [
            {
                "series": e.series,
                "step": e.step,
                "value": e.value,
                "expected": e.expected,
                "text": e.text,
            }
            for e in finding.evidence
        ],
        "causes": [{"cause": c, "probability": p} for c, p in finding.causes],
        "guide": list(finding.guide),
    }


def edit_of(edit: Edit) -> dict[str, Any]:
    return {
        "key": edit.key,
        "native_key": edit.native_key,
        "op": edit.op,
        "operand": redact_value(edit.key, edit.operand),
        "from": redact_value(edit.key, edit.old),
        "to": redact_value(edit.key, edit.new) if edit.resolved else None,
        "native_from": redact_value(edit.native_key or edit.key, edit.native_old),
        "native_to": redact_value(edit.native_key or edit.key, edit.native_new)
        if edit.resolved
        else None,
        "applies": edit.applies,
        "because": list(edit.because),
        "status": edit.status,
        "source": edit.source,
        "note": edit.note,
    }


def best_of(best: Best | None) -> dict[str, Any] | None:
    if best is None:
        return None
    return {
        "series": best.series,
        "step": best.step,
        "value": best.value,
        "checkpoint": best.checkpoint,
        "checkpoint_step": best.checkpoint_step,
    }


def report_of(report: Report) -> dict[str, Any]:
    """Return one run of the output contract."""
    run, plan, language = report.run, report.plan, language_of(report.run)
    return {
        "path": run.path,
        "id": run.id,
        "format": run.format,
        "dialect": run.config.dialect,
        "config": run.config.path,
        "method": run.config.values.get("method"),
        "status": report.status,
        "points": {name: len(series) for name, series in sorted(run.series.items())},
        "best": best_of(report.best),
        "findings": [finding_of(f) for f in report.findings],
        "suppressed": [
            {"code": f.code, "symptom": f.symptom, "severity": f.severity, "by": by}
            for f, by in report.suppressed
        ],
        "checks": {
            "ran": list(report.ran),
            "not_judged": [
                {"code": n.code, "why": speak(n.why, language)} for n in report.not_judged
            ],
        },
        "plan": {
            "edits": [edit_of(e) for e in plan.edits],
            "later": [edit_of(e) for e in plan.later],
            "dropped": [edit_of(e) for e in plan.dropped],
            "overrides": list(plan.overrides),
            "diff": plan.diff,
        },
        "followup": followup_of(report.followup),
        "notes": list(run.notes),
    }


def followup_of(followup: Followup | None) -> dict[str, Any] | None:
    if followup is None:
        return None
    return {
        "verdict": followup.verdict,
        "message": followup.message,
        "run": followup.run,
        "take_back": [
            {
                "key": r.key,
                "native_key": r.native_key,
                "from": redact_value(r.key, r.old),
                "to": redact_value(r.key, r.new),
            }
            for r in followup.take_back
        ],
    }


def outcome_of(outcome: Written) -> dict[str, Any]:
    """Return what was written, and the outcome of each Edit."""
    return {
        "path": None if outcome.path is None else str(outcome.path),
        "edits": [
            {"key": a.edit.key, "written": a.written, "reason": a.reason} for a in outcome.applied
        ],
    }


def to_json(
    reports: Sequence[Report],
    failures: Sequence[Failure],
    outcomes: Mapping[int, Written] | None = None,
) -> str:
    """Return the whole object as strict JSON text; ``outcomes`` are by id() of their Report."""
    runs = []
    for report in reports:
        run = report_of(report)
        if outcomes and id(report) in outcomes:
            run["fix"] = outcome_of(outcomes[id(report)])
        runs.append(run)
    whole = {
        "schema": SCHEMA,
        "runs": runs,
        "errors": [{"path": f.path, "message": f.message} for f in failures],
    }
    return msgspec.json.format(msgspec.json.encode(strict(whole)), indent=1).decode()
