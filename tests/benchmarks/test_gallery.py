"""The gallery's labels follow the outcome, and the advisor is right on its compact set."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from advisor.rulebook.causes import CAUSES
from advisor.rulebook.load import load_rules
from advisor.rulebook.symptoms import SYMPTOMS
from benchmarks.gallery.causes_of import BY_KNOB, BY_OUTCOME
from benchmarks.gallery.compact import scrubbed
from benchmarks.gallery.families import split_of
from benchmarks.gallery.jobs import GOOD, KNOBS, make_jobs
from benchmarks.gallery.judging import judge, loud, report_of
from benchmarks.gallery.labels import label
from benchmarks.gallery.outcomes import Outcome, kind_of, onset

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "gallery"

Row = dict[str, Any]
STEPS = 60


def rows_of(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


COMPACT = rows_of(FIXTURES / "labels.jsonl")
# What we do not say yet, or say wrongly: run, and why.
KNOWN_MISSES: dict[str, str] = {
    "neox-dolly-full-loop-padding-supervised": "begins at 11 with a vocabulary that is not known",
    "llama-dolly-full-loop-leaked": "learnt by heart, but the log holds no epochs",
    "llama-gsm8k-lora-loop-resume-new-optimizer": "the rate warms up for a second time",
}


def falling(start: float, end: float, steps: int = STEPS) -> list[float]:
    noise = [0.02 * math.sin(7.3 * i) for i in range(steps)]
    fall = [end + (start - end) * math.exp(-6 * i / steps) for i in range(steps)]
    return [value + wobble for value, wobble in zip(fall, noise, strict=True)]


def outcome(losses: list[float], held: list[float] | None = None, **more: Any) -> Outcome:
    evals = [(10 * (i + 1), value) for i, value in enumerate(held or [])]
    steps = range(1, len(losses) + 1)
    facts = {"norms": [1.0] * len(losses), "rates": (), "before": 6.0, "after": 3.0, "ended": ""}
    return Outcome(steps=list(steps), losses=losses, evals=evals, **{**facts, **more})


GOOD_RUN = outcome(falling(6, 3), [5, 4, 3.5, 3.2, 3.0])


def job(**change: Any) -> Row:
    first = next(j for j in make_jobs() if j["knob"] == "good" and j["trainer"] == "ours")
    return {**first, "steps": STEPS, **change}


def test_a_run_as_good_as_the_good_one_is_healthy_whatever_was_turned() -> None:
    row = label(job(knob="rate-x10"), GOOD_RUN, GOOD_RUN)
    assert (row["outcome"], row["healthy"], row["must"]) == ("healthy", True, [])
    assert row["causes"] == [] and row["cure"] == []


def test_a_rate_too_low_is_a_standstill_that_wants_a_higher_rate() -> None:
    still = outcome(falling(6, 5.95), after=5.95)
    row = label(job(knob="rate-hundredth"), still, GOOD_RUN)
    assert row["outcome"] == "standstill" and "lr_too_low" in row["must"][0]
    assert row["causes"] == ["lr_too_low"]
    assert row["cure"] == [{"key": "optimizer.lr", "direction": "up"}]


def test_a_standstill_of_few_steps_demands_nothing() -> None:
    still = outcome(falling(6, 5.95, 20), after=5.95)
    row = label(job(knob="rate-hundredth", steps=20), still, GOOD_RUN)
    assert not row["visible"] and "lr_too_low" in row["may"]


def test_a_loss_that_climbs_for_good_has_diverged() -> None:
    run = outcome([*falling(6, 3, 30), *(3 + 0.1 * i for i in range(30))])
    assert kind_of(run, GOOD_RUN) == "diverged"
    assert 15 <= (onset("diverged", run) or 0) <= 35


def test_a_held_out_loss_that_rises_while_training_falls_overfits() -> None:
    run = outcome(falling(6, 0.2), [5, 4, 3.5, 3.8, 4.2], after=4.2)
    assert kind_of(run, GOOD_RUN) == "overfits"
    assert onset("overfits", run) == 30


def test_a_loss_of_zero_beside_a_nan_norm_is_nonfinite() -> None:
    losses, norms = [*falling(6, 3, 30), *[0.0] * 30], [*[1.0] * 30, *[math.nan] * 30]
    run = outcome(losses, norms=norms)
    assert kind_of(run, GOOD_RUN) == "nonfinite"
    assert onset("nonfinite", run) == 31


def test_gradients_of_zero_all_along_are_no_signal() -> None:
    run = outcome(falling(6, 5.9), norms=[0.0] * STEPS, after=6.0)
    assert kind_of(run, GOOD_RUN) == "no_signal"


def test_a_run_that_blows_up_and_ends_worse_than_it_began_is_broken() -> None:
    run = outcome([6, 14, *[9.0] * 58], after=9.0)
    assert kind_of(run, GOOD_RUN) == "broken"


def test_a_full_device_is_out_of_memory_whatever_the_loss() -> None:
    assert kind_of(outcome(falling(6, 4), ended="CUDA out of memory."), GOOD_RUN) == "oom"


def test_a_fault_that_leaves_no_trace_is_neither_healthy_nor_visible() -> None:
    row = label(job(knob="end-missing"), GOOD_RUN, GOOD_RUN)
    assert not row["healthy"] and not row["visible"]
    assert row["causes"] == ["end_of_text_missing"] and "data_format" in row["may"]


def test_validation_rows_that_the_config_reads_from_the_training_file_are_demanded() -> None:
    told = label(job(knob="leaked-config", config=True), GOOD_RUN, GOOD_RUN)
    untold = label(job(knob="leaked-config", config=False), GOOD_RUN, GOOD_RUN)
    assert told["must"] == [["eval_leak"]] and untold["must"] == []


def test_a_cure_is_offered_only_where_the_trainer_has_the_key() -> None:
    rates = [1.0] * 15 + [0.0] * 45
    ours, theirs = (
        label(job(knob="schedule-short", trainer=t), outcome(falling(6, 3), rates=rates), GOOD_RUN)
        for t in ("ours", "hf")
    )
    assert ours["must"] == theirs["must"] == [["lr_schedule"]]
    assert ours["cure"] and not theirs["cure"]


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)
def test_every_fault_is_run_over_models_and_data(knob: Any) -> None:
    made = [j for j in make_jobs() if j["knob"] == knob.name]
    assert len(made) >= 5
    assert len({j["arch"] for j in made}) == 2
    assert len({j["data"] for j in made}) >= 2


def test_every_fault_has_causes_that_the_rules_know() -> None:
    assert {knob.name for knob in KNOBS} <= BY_KNOB.keys()
    named = {cause for causes, _ in (*BY_KNOB.values(), *BY_OUTCOME.values()) for cause in causes}
    assert named <= CAUSES.keys()


def test_names_of_jobs_are_unique_and_a_third_is_held() -> None:
    jobs = make_jobs()
    assert max(Counter(j["id"] for j in jobs).values()) == 1
    held = sum(split_of(j) == "held" for j in jobs) / len(jobs)
    assert 0.25 < held < 0.45
    assert len(GOOD) >= 15


def test_no_family_lies_in_both_splits() -> None:
    splits = defaultdict(set)
    for made in make_jobs():
        splits[made["family"]].add(split_of(made))
    assert all(len(names) == 1 for names in splits.values())


def test_labels_use_the_fixed_names() -> None:
    for row in rows_of(ROOT / "benchmarks" / "gallery" / "labels.jsonl"):
        named = {name for group in row["must"] for name in group} | set(row["may"])
        assert named <= SYMPTOMS.keys(), row["id"]
        assert set(row["causes"]) <= CAUSES.keys(), row["id"]
        assert not (row["healthy"] and row["visible"]), row["id"]


def test_the_compact_set_is_small_and_holds_every_fault() -> None:
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert {knob.name for knob in KNOBS} <= {row["knob"] for row in COMPACT}
    assert sum(row["healthy"] for row in COMPACT) >= 15
    for path in files:
        assert not re.search(r"[\"' ]/(work|home|root|tmp|usr)/", path.read_text()), path


def test_paths_of_the_machine_are_cut_off() -> None:
    text = f'"{ROOT}/presets/base" and "/opt/x/lib/site-packages/torch/a.py"'
    assert scrubbed(text) == '"presets/base" and "site-packages/torch/a.py"'


@pytest.fixture(scope="module")
def rules() -> Any:
    return load_rules()


@pytest.mark.parametrize("row", COMPACT, ids=lambda row: row["id"])
def test_what_is_said_of_a_real_run_fits_what_happened(row: Row, rules: Any) -> None:
    report = report_of(FIXTURES / row["id"], rules)
    assert not isinstance(report, str), report
    verdict = judge(row, loud(report))
    if row["id"] in KNOWN_MISSES:
        assert not verdict.right, f"found now: take {row['id']} off the table"
    else:
        assert verdict.right, (verdict.missed, sorted(verdict.wrong))
