"""What must not change a diagnosis: units, numbering, other columns, repeated rows, the format."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.diagnosis import diagnose
from advisor.readers import read_file
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Run, Series

EVALS = {"eval/loss": 20}
RATE = "1e-4-8.3e-7x120"  # falls to nought over 120 points
RUNS: dict[str, tuple[Run, str]] = {
    "healthy": (make_run({"train/loss": "3>1~0.03x120", "train/lr": RATE}), ""),
    "undertrained": (make_run({"train/loss": "3-0.012~0.03x120"}), "undertrained"),
    "validation falls": (
        make_run(
            {"train/loss": "3-0.012~0.03x120", "eval/loss": "2.9 2.6 2.4 2.2 2.0 1.8"}, every=EVALS
        ),
        "undertrained",
    ),
    "overfit": (
        make_run(
            {"train/loss": "3>0.3~0.03x120", "eval/loss": "2.4 2.0 1.9 2.1 2.4 2.8"}, every=EVALS
        ),
        "overfit",
    ),
    "diverged": (
        make_run({"train/loss": "3>1.5~0.03x80 2.5~0.03x40", "train/lr": RATE}),
        "divergence",
    ),
    "spikes": (
        make_run(
            {"train/loss": "3>1.5~0.03x60 5 1.5~0.03x20 6 1.5~0.03x20 5 1.5~0.03x17"},
        ),
        "spikes",
    ),
    "stuck": (make_run({"train/loss": "2.5~0.02x120", "train/lr": "1e-4x120"}), "lr_too_low"),
    "flat": (
        make_run({"train/loss": "3>2.2~0.02x20 2.2~0.02x100", "train/lr": "1e-4x120"}),
        "early_plateau",
    ),
    "noisy": (make_run({"train/loss": "10~4x120"}), "noisy"),
    "broken": (make_run({"train/loss": "3>2~0.03x60 nanx60", "train/lr": RATE}), "nonfinite"),
}
each = pytest.mark.parametrize("name", RUNS)


@cache
def rules() -> Rulebook:
    return load_rules()


def symptoms(run: Run) -> set[str]:
    return {f.symptom for f in diagnose(run, rules(), ignore=["config"]).findings}


def scaled(run: Run, factor: float) -> Run:
    series = {
        name: replace(s, values=s.values * factor) if name.endswith("loss") else s
        for name, s in run.series.items()
    }
    return replace(run, series=series)


def renumbered(run: Run, times: int, plus: int) -> Run:
    series = {name: replace(s, steps=s.steps * times + plus) for name, s in run.series.items()}
    return replace(run, series=series)


def cut(run: Run, points: int) -> Run:
    last = int(run.series["train/loss"].steps[points - 1])
    series = {}
    for name, s in run.series.items():
        keep = s.steps <= last
        if keep.any():
            series[name] = replace(s, steps=s.steps[keep], values=s.values[keep])
    return replace(run, series=series)


@each
def test_each_run_shows_its_symptom_and_the_healthy_one_none(name: str) -> None:
    run, symptom = RUNS[name]
    loud = {f.symptom for f in diagnose(run, rules(), severity="warning").findings}
    assert symptom in loud if symptom else not loud


@each
@given(power=st.floats(-3, 3))
@settings(max_examples=12, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(name: str, power: float) -> None:
    run, _ = RUNS[name]
    assert symptoms(scaled(run, 10**power)) == symptoms(run)


@each
@given(times=st.sampled_from([1, 2, 10, 500]), plus=st.sampled_from([0, 7, 100_000]))
@settings(max_examples=8, deadline=None)
def test_the_log_interval_and_the_first_step_do_not_matter(
    name: str, times: int, plus: int
) -> None:
    run, _ = RUNS[name]
    assert symptoms(renumbered(run, times, plus)) == symptoms(run)


@each
def test_columns_that_mean_something_else_do_not_matter(name: str) -> None:
    run, _ = RUNS[name]
    loss = run.series["train/loss"]
    accuracy = np.random.default_rng(0).random(len(loss))
    other = {"train/accuracy": Series("train/accuracy", loss.steps, accuracy)}
    assert symptoms(replace(run, series={**run.series, **other})) == symptoms(run)


@pytest.mark.parametrize(
    ("name", "onset"), [("diverged", 80), ("spikes", 60), ("overfit", 59), ("broken", 60)]
)
def test_before_its_onset_a_fault_is_not_reported(name: str, onset: int) -> None:
    run, symptom = RUNS[name]
    assert symptom not in symptoms(cut(run, onset))


def test_a_run_that_comes_to_rest_is_no_longer_undertrained() -> None:
    tail = "3-0.012~0.03x120 1.56>1.3~0.03x60 1.3~0.03x120"
    assert "undertrained" not in symptoms(make_run({"train/loss": tail}))


def test_a_run_that_goes_on_well_after_a_bump_has_not_diverged() -> None:
    healed = "3>1.5~0.03x80 1.9>1.3~0.03x60 1.3~0.03x60"
    assert "divergence" not in symptoms(make_run({"train/loss": healed}))


def rows_of(run: Run) -> list[dict[str, float]]:
    """The run as rows of a log, in the names of Hugging Face's trainer."""
    names = {"train/loss": "loss", "train/lr": "learning_rate", "eval/loss": "eval_loss"}
    rows: list[dict[str, float]] = []
    for name, s in run.series.items():
        for step, value in zip(s.steps, s.values, strict=True):
            rows.append({"step": int(step), names[name]: float(value)})
    merged: dict[tuple[int, bool], dict[str, float]] = {}
    for row in rows:
        merged.setdefault((int(row["step"]), "eval_loss" in row), {}).update(row)
    return [merged[key] for key in sorted(merged)]


def as_state(rows: Sequence[dict[str, float]], folder: Path) -> Path:
    path = folder / "trainer_state.json"
    path.write_text(json.dumps({"log_history": rows, "global_step": rows[-1]["step"]}))
    return path


def as_lines(rows: Sequence[dict[str, float]], folder: Path) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_table(rows: Sequence[dict[str, float]], folder: Path) -> Path:
    path = folder / "metrics.csv"
    columns = sorted({column for row in rows for column in row})
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@each
def test_the_format_of_the_log_does_not_matter(name: str, tmp_path: Path) -> None:
    run, _ = RUNS[name]
    rows = rows_of(run)
    for write in (as_state, as_lines, as_table):
        (read,) = read_file(write(rows, tmp_path))
        assert symptoms(read) == symptoms(run), write.__name__


@each
def test_rows_that_are_written_twice_do_not_matter(name: str, tmp_path: Path) -> None:
    run, _ = RUNS[name]
    twice = [row for row in rows_of(run) for _ in range(2)]
    (read,) = read_file(as_lines(twice, tmp_path))
    assert symptoms(read) == symptoms(run)
