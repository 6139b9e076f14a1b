"""What a Monitor that starts within a run is shown of what was before."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from advisor.monitor import Change, Monitor
from tests.train.loop.standins import Kept
from tests.train.metrics.test_sinks import STEP
from train.advice.replay import past_of
from train.advice.sink import AdvisorSink
from train.metrics.records import EventRecord


def test_a_monitor_that_starts_anew_knows_of_the_cuts(tmp_path: Path) -> None:
    logged = [
        {"step": s, "epoch": 0, "timestamp": 10.0 + s, "loss": 2.0 - 0.1 * s, "lr": 1e-4,
         "tps": 1.0, "num_label_tokens": 9}
        for s in range(8)
    ]  # fmt: skip
    details = {"to_step": 4, "lr_factor": 0.3}
    back = {"kind": "rollback", "text": "", "timestamp": 30.0, "step": 4, "details": details}
    (tmp_path / "training.jsonl").write_text("".join(json.dumps(r) + "\n" for r in logged))
    (tmp_path / "events.jsonl").write_text(json.dumps(back) + "\n")
    past = past_of(tmp_path, 4)
    assert past.facts == {"lr_cuts": ((4, 0.3),)}
    assert [step for step, _ in past.rows] == [0, 1, 2, 3]


def folder(place: Path, happened: list[dict[str, object]], steps: int = 40) -> Path:
    """A run of so many sound steps with these events."""
    place.mkdir(exist_ok=True)
    logged = [
        {"step": s, "epoch": 0, "timestamp": 100.0 + s, "loss": 2.0 - 0.01 * s, "grad_norm": 1.0,
         "lr": 1e-4, "mem": 1.0, "tps": 1.0, "time_step": 1.0, "time_data": 0.1,
         "num_label_tokens": 9}
        for s in range(steps)
    ]  # fmt: skip
    (place / "training.jsonl").write_text("".join(json.dumps(r) + "\n" for r in logged))
    lines = [{"text": "", "timestamp": 50.0 + i, **row} for i, row in enumerate(happened)]
    (place / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    return place


def told(code: str, step: int, change: str = "raised", **details: object) -> dict[str, object]:
    return {"kind": "finding", "step": step, "details": {"code": code, "change": change} | details}


BACK = {"kind": "rollback", "step": 30, "details": {"to_step": 30, "lr_factor": 0.5}}


def test_what_was_undone_was_neither_told_nor_did_it_happen(tmp_path: Path) -> None:
    skip = {"kind": "overflow_skip", "step": 33}
    early = {"kind": "overflow_skip", "step": 12}
    found = [told("NUM001", 33, first_step=33), told("CFG001", 1), told("PL001", 12, first_step=4)]
    past = past_of(folder(tmp_path, [early, *found, skip, BACK]), 40)
    assert past.told == {"CFG001", "PL001"}
    assert [(kind, step) for kind, _, step in past.events] == [("overflow_skip", 12)]


def test_what_was_withdrawn_and_what_came_later_is_told_again(tmp_path: Path) -> None:
    found = [told("A", 5, evidence=[{}]), told("A", 9, "withdrawn"), told("B", 35, evidence=[{}])]
    found += [told("CFG001", 35, evidence=[])]
    assert past_of(folder(tmp_path, found), 20).told == {"CFG001"}


def test_a_loss_that_breaks_right_after_a_long_past_is_heard_of_at_once(tmp_path: Path) -> None:
    place = folder(tmp_path, [], steps=60)
    written, on_changes = Kept(), list[Change]()
    sink = AdvisorSink(written, lambda: Monitor({}, "act"), lambda step: past_of(place, step))
    sink.on_changes = on_changes.extend
    sink.write(EventRecord(kind="resume", text="", timestamp=1.0, step=60))
    for step in range(60, 63):
        sink.write(replace(STEP, step=step, loss=math.nan, grad_norm=math.nan))
    assert "NUM001" in {each.finding.code for each in on_changes}
    assert "NUM001" in {row.details["code"] for row in written.events("finding")}
