"""How far an Edit came is data: a status and a source, which the note only puts into words."""

from __future__ import annotations

from pathlib import Path

import pytest

import advisor
from advisor.base.numbers import same
from advisor.findings import Edit, Plan, Severity
from advisor.plan.make import make_plan
from advisor.run import Config
from tests.plans import EPOCHS, LR, copied, error, finding, info, put, run_of, times

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "tests" / "fixtures" / "gallery", ROOT / "presets" / "demo")


def every_edit() -> list[Edit]:
    """The edits of the plans of all bundled runs."""
    found: list[Edit] = []
    for folder in FOLDERS:
        for report in advisor.check_all(folder):
            found += [*report.plan.edits, *report.plan.later, *report.plan.dropped]
    return found


def test_the_status_of_every_edit_agrees_with_its_values() -> None:
    edits = every_edit()
    assert len(edits) > 100
    for edit in edits:
        if edit.applies == "advice" or not edit.resolved:
            assert edit.status in ("proposed", "no_key", "conflict"), edit
        if edit.status in ("resolved", "bounded"):
            assert edit.resolved, edit
        if edit.status in ("unchanged", "already_changed", "superseded", "conflict", "no_key"):
            assert edit.note, edit
        if edit.status == "unchanged":
            assert same(edit.old, edit.new), edit
        assert (edit.source == "") == (edit.old is None), edit
    assert {"resolved", "unchanged", "proposed"} <= {edit.status for edit in edits}
    assert {"config", "log", "default"} <= {edit.source for edit in edits}


def plan_of(*edits: Edit, severity: Severity = "warning", values: object = None) -> Plan:
    config = Config({LR: 2e-4, EPOCHS: 3} if values is None else dict(values))  # type: ignore[call-overload]
    return make_plan([finding("AA001", *edits, severity=severity)], config, run_of())


@pytest.mark.parametrize(
    ("edit", "status", "source"),
    [
        (times(LR, 0.5), "resolved", "config"),
        (times(LR, 0.5, low=1.5e-4), "bounded", "config"),
        (times("peft.dim", 2), "proposed", ""),
    ],
)
def test_a_lone_edit(edit: Edit, status: str, source: str) -> None:
    (made,) = plan_of(edit).edits
    assert (made.status, made.source) == (status, source)


def test_what_the_run_had_already_is_unchanged() -> None:
    (made,) = plan_of(put(LR, 2e-4)).dropped
    assert made.status == "unchanged" and made.note == "already 0.0002"


def test_a_bound_that_holds_a_value_is_no_second_reason() -> None:
    (made,) = plan_of(times(LR, 0.5, low=2e-4)).dropped
    assert made.status == "bounded" and "already" not in made.note


def test_the_milder_of_two_is_superseded_and_opposite_ones_conflict() -> None:
    config = Config({LR: 2e-4})
    found = [error("AA001", times(LR, 0.5)), info("AA002", times(LR, 0.2))]
    plan = make_plan(found, config, run_of())
    assert [e.status for e in (*plan.edits, *plan.dropped)] == ["resolved", "superseded"]
    found = [error("AA001", times(LR, 0.5)), error("AA002", times(LR, 2))]
    assert {e.status for e in make_plan(found, config, run_of()).dropped} == {"conflict"}


def test_a_rate_that_only_the_log_shows_is_from_the_log() -> None:
    plan = make_plan([finding("AA001", times(LR, 0.5))], Config({}), run_of(lr=[1e-4, 2e-4, 1e-4]))
    (made,) = plan.edits
    assert (made.source, made.note) == ("log", "inferred from the log")


@pytest.mark.parametrize(
    ("now", "status"),
    [
        ("learning_rate: 2.0e-4", "resolved"),
        ("learning_rate: 1.0e-4", "already_changed"),
        ("learning_rate: 1.5e-4", "already_changed"),  # on its way
        ("learning_rate: 9.0e-4", "file_differs"),
        ("learning_rate: ${LR}", "held_elsewhere"),
    ],
)
def test_what_the_file_holds_now_decides(now: str, status: str, tmp_path: Path) -> None:
    path = copied(tmp_path, "trl.yaml")
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [now if line.startswith("learning_rate:") else line for line in lines]
    assert kept != lines or status == "resolved"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    config = Config({LR: 2e-4}, dialect="transformers", path=str(path))
    (made,) = make_plan([finding("AA001", put(LR, 1e-4))], config, run_of()).edits
    assert made.status == status


@pytest.mark.parametrize(
    ("stated", "source", "old"),
    [(2e-4, "config", 2e-4), (1.92e-4, "config", 1.92e-4), (1.86e-4, "log", 2e-4)],
)
def test_the_log_is_trusted_where_its_peak_is_over_the_stated_rate(
    stated: float, source: str, old: float
) -> None:
    """A twentieth below the peak is rounding; more is another rate."""
    found = [finding("AA001", times(LR, 0.5))]
    (made,) = make_plan(found, Config({LR: stated}), run_of(lr=[1e-4, 2e-4, 1e-4])).edits
    assert (made.source, made.old) == (source, old)


@pytest.mark.parametrize(("held", "status"), [(2.09e-4, "resolved"), (2.13e-4, "file_differs")])
def test_a_rate_read_from_the_log_may_differ_from_the_files_by_rounding(
    held: float, status: str, tmp_path: Path
) -> None:
    path = copied(tmp_path, "trl.yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("learning_rate: 2.0e-4", f"learning_rate: {held}"))
    config = Config({}, dialect="transformers", path=str(path))
    run = run_of(lr=[1e-4, 2e-4, 1e-4])
    (made,) = make_plan([finding("AA001", times(LR, 0.5))], config, run).edits
    assert (made.source, made.status) == ("log", status)
