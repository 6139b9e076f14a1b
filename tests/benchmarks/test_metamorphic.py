"""A log that was written half as often shows the same run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from advisor.pipeline import Request, load_runs
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Run
from benchmarks.accuracy.metamorphic import LOGS, changed, halved, runs_of, symptoms

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "tests" / "fixtures" / "gallery"


HEALTHY = {
    row["id"]
    for row in map(json.loads, (GALLERY / "labels.jsonl").read_text().splitlines())
    if row["healthy"]
}


@cache
def rules() -> Rulebook:
    return load_rules()


@cache
def gallery() -> tuple[Run, ...]:
    folders = sorted(path for path in GALLERY.iterdir() if path.is_dir())
    return tuple(run for path in folders for run in load_runs(path, Request()))


def test_half_the_points_alarm_of_no_healthy_run_but_its_end() -> None:
    healthy = [run for run in gallery() if Path(run.path).parent.name in HEALTHY]
    new = {symptom for each in changed(healthy, rules()) for symptom in each.new}
    assert len(healthy) >= 15
    assert new <= {"undertrained"}


def test_half_the_points_change_few_of_the_gallerys_broken_runs() -> None:
    """Lone spikes stand at points that are left out, so not all can stay."""
    found = changed(gallery(), rules())
    assert len(found) <= len(gallery()) / 7, found
    assert sum(each.flips for each in found) <= 3, found


@pytest.mark.slow  # a study of all real logs, each judged twice
@pytest.mark.skipif(not LOGS.exists(), reason="the logs of strangers are not here")
def test_half_the_points_change_at_most_one_in_25_real_runs_and_no_symptom_for_another() -> None:
    runs = list(runs_of(LOGS))
    found = changed(runs, rules())
    assert len(runs) >= 140
    assert len(found) <= 0.04 * len(runs), found
    assert not [each for each in found if each.flips]


@pytest.mark.parametrize(
    "losses",
    [
        "1.4 1.5 1.6 1.8 2.5 4 7 10",
        "1.4 2.6 3.9 5.1 6.3 7.5 8.8 10",
        "1.4 1.4 1.5 1.4 1.5 1.4 9 10",
        "6 4.1 2.9 1.9 1.4 6 9 10",
        "6 4.1 2.9 2.1 1.6 1.4 6.1 10",
        "1.4 10 10.1 9.9 10 10.2 9.8 10",
        "1.4 3 5 8 10",
    ],
)
@pytest.mark.parametrize("every", [1, 100])
def test_a_loss_that_goes_from_1_4_to_10_in_a_few_points_diverges(losses: str, every: int) -> None:
    run = make_run({"train/loss": losses}, every={"train/loss": every})
    assert symptoms(run, rules()) == {"divergence"}


@pytest.mark.parametrize(
    "losses",
    ["0.9 1.1 0.8 1.2 1.0 0.9 1.1 0.95", "2.1 1.6 1.4 1.33 1.3", "1.9 1.7 1.95 1.8 1.6 1.85"],
)
def test_a_few_points_that_show_nothing_for_sure_are_left_alone(losses: str) -> None:
    assert not symptoms(make_run({"train/loss": losses}, every={"train/loss": 20}), rules())


def test_half_a_run_holds_every_second_point_and_all_evaluations() -> None:
    run = make_run({"train/loss": "5 4 3 2 1", "eval/loss": "3 2"}, every={"eval/loss": 2})
    half = halved(run)
    assert half.series["train/loss"].values.tolist() == [5, 3, 1]
    assert half.series["train/loss"].steps.tolist() == [1, 3, 5]
    assert half.series["eval/loss"].values.tolist() == [3, 2]
    assert halved(run, 1, evaluations=True).series["eval/loss"].values.tolist() == [2]
