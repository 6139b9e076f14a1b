"""What is told of successive looks: raised once, updated as it grows, withdrawn when gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.errors import AdvisorError
from advisor.findings import Finding
from advisor.monitor import Policy, Tracker

FOUND = Finding("LR007", "loss-diverges", "divergence", "error", 0.9, "it rises", last_step=10)


def kinds(tracker: Tracker, findings: list[Finding], step: int) -> list[str]:
    return [change.kind for change in tracker.look(findings, step)]


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
    assert tracker.look([], 11, asked={"NUM001"}) == ()


def test_a_finding_that_is_not_urgent_has_to_stand_for_a_while() -> None:
    tracker = Tracker()
    assert tracker.look([FOUND], 100, None, row=100) == ()
    assert tracker.look([FOUND], 101, None, row=101) == ()
    assert [c.kind for c in tracker.look([FOUND], 110, None, row=110)] == ["raised"]


def test_a_finding_that_went_between_two_looks_is_not_told() -> None:
    tracker = Tracker()
    tracker.look([FOUND], 100, None, row=100)
    tracker.look([], 105, None, row=105)
    assert tracker.look([FOUND], 111, None, row=111) == ()


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
    assert Policy.parse(policy).action(finding) == action  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "policy", ["wran", {"mode": "stop", "stopon": []}, {"max_actions": -1}, {"act_on": 3}, 7]
)
def test_a_policy_that_means_nothing_is_refused(policy: object) -> None:
    with pytest.raises(AdvisorError, match="policy: "):
        Policy.parse(policy)  # type: ignore[arg-type]
