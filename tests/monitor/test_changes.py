"""What is told of successive looks: raised once, updated as it grows, withdrawn when gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.errors import AdvisorError
from advisor.findings import Evidence, Finding
from advisor.monitor import Look, Policy, Tracker

FOUND = Finding("LR007", "loss-diverges", "divergence", "error", 0.9, "it rises", last_step=10)


def kinds(tracker: Tracker, findings: list[Finding], step: int) -> list[str]:
    return [change.kind for change in tracker.look(Look(findings, step))]


def test_a_finding_that_stays_is_told_once() -> None:
    tracker = Tracker()
    assert [kinds(tracker, [FOUND], step) for step in (10, 11, 12)] == [["raised"], [], []]


def test_a_finding_is_told_again_when_its_span_has_grown_by_half() -> None:
    tracker = Tracker()
    kinds(tracker, [FOUND], 10)
    assert kinds(tracker, [replace(FOUND, last_step=12)], 12) == []
    assert kinds(tracker, [replace(FOUND, last_step=16)], 16) == ["updated"]


def test_a_finding_is_told_again_when_it_becomes_graver() -> None:
    tracker = Tracker()
    kinds(tracker, [replace(FOUND, severity="warning")], 10)
    assert kinds(tracker, [FOUND], 11) == ["updated"]


def test_a_finding_that_no_longer_holds_is_withdrawn() -> None:
    tracker = Tracker()
    kinds(tracker, [FOUND], 10)
    assert kinds(tracker, [], 11) == ["withdrawn"]
    assert kinds(tracker, [], 12) == []


def test_a_look_that_did_not_ask_for_a_rule_withdraws_nothing_of_it() -> None:
    tracker = Tracker()
    kinds(tracker, [FOUND], 10)
    assert tracker.look(Look([], 11, asked={"NUM001"})) == ()


def test_a_finding_that_is_not_urgent_has_to_stand_for_a_while() -> None:
    tracker = Tracker()
    assert tracker.look(Look([FOUND], 100, 100)) == ()
    assert tracker.look(Look([FOUND], 101, 101)) == ()
    assert [c.kind for c in tracker.look(Look([FOUND], 110, 110))] == ["raised"]


def test_a_finding_that_went_between_two_looks_is_not_told() -> None:
    tracker = Tracker()
    tracker.look(Look([FOUND], 100, 100))
    tracker.look(Look([], 105, 105))
    assert tracker.look(Look([FOUND], 111, 111)) == ()


@pytest.mark.parametrize(
    ("policy", "severity", "action"),
    [
        ("warn", "error", "warn"),
        ("stop", "error", "stop"),
        ("stop", "warning", "warn"),
        ("act", "error", "act"),
        ({"mode": "stop", "stop_on": ["LR007"]}, "warning", "stop"),
        ({"mode": "stop", "stop_on": ["NUM001"]}, "error", "warn"),
        ({"mode": "act", "stop_on": ["divergence"]}, "error", "stop"),
        ({"mode": "act", "act_on": []}, "error", "warn"),
        ({"mode": "stop", "stop_on": ["LR007"]}, "info", "warn"),
    ],
)
def test_a_policy_says_what_a_finding_asks_for(policy: object, severity: str, action: str) -> None:
    finding = replace(FOUND, severity=severity)  # type: ignore[arg-type]
    assert Policy.parse(policy).choose_action(finding) == action  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "policy", ["wran", {"mode": "stop", "stopon": []}, {"max_actions": -1}, {"act_on": 3}, 7]
)
def test_a_policy_that_means_nothing_is_refused(policy: object) -> None:
    with pytest.raises(AdvisorError, match="policy: "):
        Policy.parse(policy)  # type: ignore[arg-type]


def shown(value: float, **more: object) -> Finding:
    evidence = (Evidence("train/loss", 10, value, 1.4),)
    return replace(FOUND, evidence=evidence, **more)  # type: ignore[arg-type]


def test_a_finding_is_told_again_when_what_shows_it_has_doubled() -> None:
    tracker = Tracker()
    told = [kinds(tracker, [shown(v)], i) for i, v in enumerate((2.4, 2.5, 3.2, 3.6, 9.9, 10.0))]
    assert told == [["raised"], [], [], ["updated"], ["updated"], []]
    assert kinds(tracker, [shown(float("inf"))], 9) == ["updated"]


def test_what_stands_now_is_the_newest_state_of_what_was_told() -> None:
    tracker = Tracker()
    kinds(tracker, [shown(2.4, message="77% up")], 10)
    assert kinds(tracker, [shown(2.5, message="80% up")], 11) == []
    assert [finding.message for finding in tracker.current.values()] == ["80% up"]


OTHER = replace(FOUND, code="LR006", name="loss-spikes", last_step=9)


def test_what_takes_the_place_of_a_finding_is_named() -> None:
    tracker = Tracker()
    tracker.look(Look([OTHER], 10, 10, at_once={"LR006"}))
    look = Look([FOUND], 12, 12, at_once={"LR007"}, explained={"LR006": "LR007"})
    raised, withdrawn = tracker.look(look)
    assert (raised.kind, raised.finding.code) == ("raised", "LR007")
    assert (withdrawn.kind, withdrawn.finding.code, withdrawn.by) == ("withdrawn", "LR006", "LR007")


def test_what_is_explained_by_a_finding_that_is_not_told_yet_stays() -> None:
    tracker = Tracker()
    tracker.look(Look([OTHER], 100, 100, at_once={"LR006"}))
    for row in (101, 104):
        assert tracker.look(Look([FOUND], row, row, explained={"LR006": "LR007"})) == ()
    told = tracker.look(Look([FOUND], 107, 107, explained={"LR006": "LR007"}))
    assert [(c.kind, c.finding.code) for c in told] == [("raised", "LR007"), ("withdrawn", "LR006")]


def test_what_comes_and_goes_with_the_next_points_does_not_flicker() -> None:
    tracker = Tracker()
    told = []
    for row in range(100, 140):
        found = [FOUND] if row % 3 else []
        told += [c.kind for c in tracker.look(Look(found, row, row, at_once={"LR007"}))]
    assert told == ["raised"]
    assert [c.kind for c in tracker.look(Look([], 160, 160))] == []
    assert [c.kind for c in tracker.look(Look([], 170, 170))] == ["withdrawn"]


def test_another_run_takes_all_back_and_counts_its_rows_anew() -> None:
    tracker = Tracker()
    tracker.look(Look([FOUND], 1000, 1000, at_once={"LR007"}))
    tracker.look(Look([FOUND, OTHER], 1001, 1001))
    assert [(c.kind, c.finding.code) for c in tracker.restart(3)] == [("withdrawn", "LR007")]
    assert tracker.look(Look([OTHER], 3, 3)) == ()
    assert [c.kind for c in tracker.look(Look([OTHER], 6, 6))] == ["raised"]
