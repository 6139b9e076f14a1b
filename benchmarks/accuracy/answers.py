"""Answers to labelled runs, ours and the peers', kept by content so that a second call is quick."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.runs import Labelled, content, ours_now
from benchmarks.peers import compare as peers
from benchmarks.places import CACHE

# The checkout that this file lies in is what is measured, so the imports of advisor stand inside.

if TYPE_CHECKING:
    from advisor.findings import Edit, Report

KEPT = CACHE / "accuracy"


@dataclass(frozen=True, slots=True)
class Said:
    """One finding, or one name of a peer: what it means, and how loudly it is said."""

    code: str
    symptoms: frozenset[str]
    severity: str
    confidence: float = 1.0
    causes: tuple[str, ...] = ()  # most likely first


@dataclass(frozen=True, slots=True)
class Move:
    """What the plan does to one key: up, down, set, remove or advice; now or in a later run."""

    key: str
    direction: str
    value: Any = None
    later: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """All that is scored of one answer."""

    said: tuple[Said, ...] = ()
    moves: tuple[Move, ...] = ()
    unread: bool = False


def ask_ours(runs: Sequence[Labelled]) -> dict[str, Answer]:
    """Judge every run as the command does; what is known of this very code is not asked again."""
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"ours-{ours_now()}.jsonl"
    for old in KEPT.glob("ours-*.jsonl"):
        if old != kept:
            old.unlink()
    known = _known(kept)
    found = {}
    with kept.open("a") as stream:
        for run in runs:
            key = f"{run.id}@{content(run)}"
            if key not in known:
                known[key] = _judge(run.path)
                stream.write(json.dumps({"key": key, "answer": known[key]}) + "\n")
                stream.flush()
            found[run.id] = _answer(known[key])
    return found


def _known(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row["key"]: row["answer"] for row in rows}


def _judge(path: Path) -> dict[str, Any]:
    from advisor.pipeline import Request, check_paths
    from advisor.rulebook.load import load_rules

    reports, _ = check_paths([path], load_rules(), Request())
    findings = [
        [f.code, f.symptom, f.severity, f.confidence, [c for c, _ in f.causes]]
        for report in reports
        for f in report.findings
    ]
    return {"found": findings, "moves": [m for r in reports for m in _moves(r)],
            "unread": not reports}  # fmt: skip


def _moves(report: Report) -> list[list[Any]]:
    plan = report.plan
    now = [[e.key, direction_of(e), _plain(e.new), False] for e in plan.edits]
    return now + [[e.key, direction_of(e), _plain(e.new), True] for e in plan.later]


def direction_of(edit: Edit) -> str:
    """Where an edit moves its key; a relative one without a known value by its factor."""
    if edit.applies == "advice":
        return "advice"
    if edit.op == "remove":
        return "remove"
    old, new = edit.old, edit.new
    if edit.resolved and _is_number(old) and _is_number(new):
        return "up" if new > old else "down" if new < old else "set"  # type: ignore[operator]
    if edit.op in ("multiply", "add") and _is_number(edit.operand):
        return "up" if edit.operand > (edit.op == "multiply") else "down"  # type: ignore[operator]
    return "set"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _answer(row: Mapping[str, Any]) -> Answer:
    said = tuple(
        Said(code, frozenset({symptom}), severity, confidence, tuple(causes))
        for code, symptom, severity, confidence, causes in row["found"]
    )
    return Answer(said, tuple(Move(*move) for move in row["moves"]), row["unread"])


def ask_peer(tool: str, runs: Sequence[Labelled], logs: Mapping[str, Path]) -> dict[str, Answer]:
    """What one peer says of the logs, in our names; a log that it cannot read is 'unread'."""
    named = {f"{run.id}@{content(run)}": logs[run.id] for run in runs if run.id in logs}
    answers = peers.ask(tool, "accuracy", named, fresh=False)
    if answers is None:
        return {}
    found = {}
    for run in runs:
        key = f"{run.id}@{content(run)}"
        said = tuple(
            Said("", names, severity.lower()) for names, severity in answers.found.get(key, [])
        )
        found[run.id] = Answer(said, unread=key not in answers.found)
    return found
