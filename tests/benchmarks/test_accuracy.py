"""The accuracy report counts as it says: symptoms, causes, plans, alarms, on answers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def labelled(*must: tuple[str, ...], **more: Any) -> Any:
    from benchmarks.accuracy.runs import Labelled

    fields = {"source": "trained", "split": "tune", "fault": "knob", "family": "a", **more}
    return Labelled("run", Path("run"), must=must, **fields)


def said(*symptoms: str, severity: str = "warning", causes: tuple[str, ...] = ()) -> Any:
    from benchmarks.accuracy.answers import Answer, Said

    return Answer(tuple(Said("X", frozenset({s}), severity, 1.0, causes) for s in symptoms))


def plan(*moves: tuple[Any, ...]) -> Any:
    from benchmarks.accuracy.answers import Answer, Move

    return Answer(moves=tuple(Move(*move) for move in moves))


def test_a_demand_is_met_by_any_of_its_names_and_booked_under_the_first() -> None:
    from benchmarks.accuracy.scores import symptoms

    counts = symptoms([(labelled(("divergence", "spikes")), said("spike"))])
    assert list(counts) == ["divergence"]
    assert (counts["divergence"].recall, counts["divergence"].f1) == (1.0, 1.0)


def test_a_remark_meets_no_demand() -> None:
    from benchmarks.accuracy.scores import symptoms

    counts = symptoms([(labelled(("overfit",)), said("overfit", severity="info"))])
    assert (counts["overfit"].hit, counts["overfit"].f1) == (0, 0.0)


def test_onset_stands_for_overfitting_and_the_other_way_round() -> None:
    from benchmarks.accuracy.scores import symptoms

    runs = [
        (labelled(("overfit",)), said("overfit_onset")),
        (labelled(("overfit_onset",)), said("overfit")),
    ]
    assert [c.f1 for c in symptoms(runs).values()] == [1.0, 1.0]


def test_what_is_neither_demanded_nor_allowed_is_wrong() -> None:
    from benchmarks.accuracy.scores import symptoms

    run = labelled(("nonfinite",), may=frozenset({"numerics"}))
    counts = symptoms([(run, said("nonfinite", "numerics", "plateau"))])
    assert {name: (c.said, c.right) for name, c in counts.items()} == {
        "nonfinite": (1, 1), "numerics": (1, 1), "plateau": (1, 0),
    }  # fmt: skip


def test_precision_and_recall_make_the_f1() -> None:
    from benchmarks.accuracy.scores import macro_f1, symptoms

    runs = [
        (labelled(("noisy",)), said("noisy")),
        (labelled(("noisy",)), said()),
        (labelled(healthy=True), said("noisy")),
    ]
    counts = symptoms(runs)
    assert (counts["noisy"].precision, counts["noisy"].recall) == (0.5, 0.5)
    assert macro_f1(counts) == 0.5


def test_symptoms_weigh_the_same_however_often_they_are_demanded() -> None:
    from benchmarks.accuracy.scores import macro_f1, symptoms

    runs = [(labelled(("noisy",)), said("noisy"))] * 9 + [(labelled(("oom",)), said())]
    assert macro_f1(symptoms(runs)) == 0.5


def test_a_statement_about_a_setting_is_an_alarm_on_healthy_runs_only() -> None:
    from benchmarks.accuracy.scores import is_alarmed

    assert is_alarmed(labelled(healthy=True), said("config"))
    assert not is_alarmed(labelled(("divergence",)), said("divergence", "config"))


def test_symptoms_that_a_labelling_does_not_know_count_for_nothing() -> None:
    from benchmarks.accuracy.scores import is_alarmed

    run = labelled(unscored=frozenset({"eval_leak"}))
    assert not is_alarmed(run, said("eval_leak"))
    assert is_alarmed(run, said("noisy"))


def test_the_confusion_says_what_stands_in_for_a_missed_symptom() -> None:
    from benchmarks.accuracy.scores import confusion

    runs = [
        (labelled(("slow",)), said("underfit")),
        (labelled(("slow",)), said()),
        (labelled(healthy=True), said()),
    ]
    table = {row: dict(columns) for row, columns in confusion(runs).items()}
    assert table == {
        "lr_too_low": {"runs": 2, "plateau": 1, "(silent)": 1},
        "(healthy)": {"runs": 1, "(silent)": 1},
    }


def test_causes_are_ranked_down_the_report() -> None:
    from benchmarks.accuracy.answers import Answer
    from benchmarks.accuracy.scores import cause_hit

    first = said("noisy", causes=("batch_too_small", "mixed_data")).said
    second = said("spikes", causes=("lr_too_high",)).said
    answer, run = Answer(first + second), labelled(("spikes",), causes=("lr_too_high",))
    assert [cause_hit(run, answer, top) for top in (1, 2, 3)] == [False, False, True]


def test_causes_that_one_change_mends_count_as_one() -> None:
    from benchmarks.accuracy.causes import same_cure

    assert same_cure("schedule_wrong", "schedule_stepped_per_process")
    assert not same_cure("lr_too_high", "lr_too_low")
    assert not same_cure("packing", "double_bos")


def test_every_cause_with_a_cure_is_one_that_rules_may_name() -> None:
    from advisor.dialects.keys import KINDS
    from advisor.rulebook.causes import CAUSES
    from benchmarks.accuracy.causes import CURES

    assert set(CURES) <= set(CAUSES)
    assert {key for key, _ in CURES.values()} <= set(KINDS)


@pytest.mark.parametrize(
    ("moves", "right"),
    [
        ([("optimizer.lr", "down")], True),
        ([("optimizer.lr", "up")], False),
        ([("optimizer.lr", "down", None, True)], False),  # only in a later run
        ([("optimizer.weight_decay", "down")], False),
        ([("clip_grad_norm.max_norm", "set", 1.0)], True),
        ([("clip_grad_norm.max_norm", "set", 1.0), ("optimizer.lr", "up")], False),
        ([], False),
    ],
)
def test_a_plan_is_right_where_it_moves_a_cures_key_its_way(
    moves: list[tuple[Any, ...]], right: bool
) -> None:
    from benchmarks.accuracy.runs import Cure
    from benchmarks.accuracy.scores import plan_is_right

    cures = (Cure("optimizer.lr", "down"), Cure("clip_grad_norm.max_norm", "set", 1.0))
    assert plan_is_right(labelled(("spikes",), cures=cures), plan(*moves)) is right


def test_advice_in_words_is_a_cure_where_no_value_is_owed() -> None:
    from benchmarks.accuracy.runs import Cure
    from benchmarks.accuracy.scores import plan_is_right

    split = labelled(("eval_leak",), cures=(Cure("validation_dataset.path", "set"),))
    rate = labelled(("spikes",), cures=(Cure("optimizer.lr", "down"),))
    assert plan_is_right(split, plan(("validation_dataset", "advice")))
    assert not plan_is_right(split, plan(("valid", "advice")))
    assert not plan_is_right(rate, plan(("optimizer.lr", "advice")))


def test_an_edit_without_a_known_value_moves_by_its_factor() -> None:
    from advisor.findings import Edit
    from benchmarks.accuracy.answers import direction_of

    assert direction_of(Edit("optimizer.lr", "multiply", 0.3)) == "down"
    assert direction_of(Edit("optimizer.lr", "set", 1e-4, old=1e-3, new=1e-4, resolved=True)) == (
        "down"
    )
    assert direction_of(Edit("peft.dim", "set", 8)) == "set"
    assert direction_of(Edit("dataset", "set", None, "advice")) == "advice"


def test_no_alarm_in_n_runs_leaves_three_in_n_possible() -> None:
    from benchmarks.accuracy.scores import upper_bound

    assert upper_bound(0, 300) == pytest.approx(0.01, rel=0.01)
    assert upper_bound(2, 300) > upper_bound(0, 300)


def test_an_interval_draws_whole_families() -> None:
    from benchmarks.accuracy.scores import f1_intervals

    good = [(labelled(("noisy",), family="a"), said("noisy"))] * 50
    bad = [(labelled(("noisy",), family="b"), said())] * 50
    assert f1_intervals(good + bad)["noisy"] == (0.0, 1.0)
    assert f1_intervals(good) == {"noisy": (1.0, 1.0), "": (1.0, 1.0)}


def test_a_share_has_an_interval_about_it() -> None:
    from benchmarks.accuracy.scores import share_interval

    runs = [(labelled(family=str(i)), said(*(["noisy"] if i < 60 else []))) for i in range(100)]
    low, high = share_interval(runs, lambda pair: bool(pair[1].said))
    assert 0.45 < low < 0.6 < high < 0.75


def test_a_row_of_the_gallery_becomes_a_labelled_run() -> None:
    from benchmarks.accuracy.runs import of_gallery

    row = {
        "id": "x", "arch": "llama", "data": "dolly", "family": "f", "knob": "rate-x30",
        "healthy": False, "visible": True, "emulated": False, "must": [["divergence", "spikes"]],
        "may": ["noisy"], "causes": ["lr_too_high"], "split": "held", "onset": 7,
        "cure": [{"key": "optimizer.lr", "direction": "down"}],
    }  # fmt: skip
    run = of_gallery(row, Path("x"))
    assert (run.must, run.source, run.split) == ((("divergence", "spikes"),), "trained", "held")
    assert run.cures[0].key == "optimizer.lr"
    hidden = of_gallery({**row, "visible": False, "must": []}, Path("x"))
    assert not hidden.must and not hidden.healthy
