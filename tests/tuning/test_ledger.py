"""The Ledger gives back what was written, to the bit, and writes no outcome twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import AdvisorError
from advisor.tuning.ledger import Entry, Ledger, TrialPlan
from advisor.tuning.trial import BriefFinding, Trial, TrialChange

PLAN = TrialPlan(
    1, "full", {"optimizer.lr": 1e-5, "peft.target_modules": ["q", "v"]},
    (TrialChange("optimizer.lr", "set", 1e-4, 1e-5, ("LR004",)),),
    "lr: 1e-5\n", "--- a\n", "runs/001",
    None, "why", ("LR004",),
)  # fmt: skip


def trial() -> Trial:
    return Trial(
        1, PLAN.values, "full", "nonfinite", np.array([9, 19]), np.array([1.5, np.nan]),
        np.arange(3), np.array([2.0, np.inf, 0.1 + 0.2]), 1.5, 0.01, 4096,
        (BriefFinding("NUM001", "nonfinite", "error"),),
        (TrialChange("optimizer.lr", "multiply", 1e-5, 3e-6, ("LR004",)),), "why",
    )  # fmt: skip


def test_a_run_comes_back_to_the_bit(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.plan([PLAN])
    ledger.finish(Entry(PLAN, trial=trial(), seconds=2.5, exit=1, said="NaN", verdict="start"))
    ledger.close()
    (entry,) = Ledger.open(tmp_path, readonly=True).entries()
    found = entry.trial
    assert found is not None and entry.plan == PLAN
    assert (entry.state, entry.seconds, entry.exit, entry.said) == ("done", 2.5, 1, "NaN")
    for name in ("val_steps", "val_losses", "loss_steps", "losses"):
        assert np.array_equal(getattr(found, name), getattr(trial(), name), equal_nan=name != "")
    assert (found.status, found.findings, found.edits) == (
        trial().status, trial().findings, trial().edits,
    )  # fmt: skip


def test_an_outcome_is_never_written_over(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.plan([PLAN])
    ledger.finish(Entry(PLAN, trial=trial(), seconds=1.0))
    ledger.finish(Entry(PLAN, trial=replace(trial(), status="finished"), seconds=9.0))
    (entry,) = ledger.entries()
    assert entry.trial is not None and entry.trial.status == "nonfinite" and entry.seconds == 1.0


def test_a_plan_of_several_runs_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.plan([PLAN])
    with pytest.raises(AdvisorError, match="cannot be written"):
        ledger.plan([replace(PLAN, number=2), replace(PLAN, number=1)])
    assert [entry.plan.number for entry in ledger.entries()] == [1]


def test_what_a_session_notes_is_replaced_by_the_newest(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    ledger.note(start={"optimizer.lr": 1.0}, stopped=None)
    ledger.note(start={"optimizer.lr": 2.0})
    assert ledger.state("start") == {"optimizer.lr": 2.0}
    assert ledger.state("nothing", 7) == 7


def test_a_file_that_is_no_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("not a database, by far not one at all" * 40)
    with pytest.raises(AdvisorError, match="not a readable ledger"):
        Ledger.open(tmp_path, readonly=True)
