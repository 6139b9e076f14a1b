"""A run watched point by point: what is told, when, and once."""

from __future__ import annotations

import math

import pytest

from advisor.errors import AdvisorError
from advisor.monitor import Change, Monitor


def fed(monitor: Monitor, losses: list[float], **others: float) -> list[Change]:
    return [c for i, v in enumerate(losses, 1) for c in monitor.observe(i, loss=v, **others)]


def falling(count: int) -> list[float]:
    return [0.5 + 3 * 0.97**i + 0.01 * math.sin(7 * i) for i in range(count)]


def test_a_nonfinite_loss_is_told_at_its_own_point() -> None:
    changes = fed(Monitor(), [*falling(60), math.nan])
    told = [c for c in changes if c.finding.symptom == "nonfinite"]
    assert [(c.kind, c.step) for c in told] == [("raised", 61)]


def test_a_finding_is_raised_once() -> None:
    changes = fed(Monitor(), [*falling(60), *[math.nan] * 40])
    raised = [c.finding.code for c in changes if c.kind == "raised"]
    assert len(raised) == len(set(raised))


def test_a_policy_of_stop_asks_for_a_stop_on_the_codes_it_names() -> None:
    changes = fed(Monitor(policy={"mode": "stop", "stop_on": ["NUM001"]}), [*falling(60), math.nan])
    assert [c.action for c in changes if c.finding.code == "NUM001"] == ["stop"]


def test_a_policy_with_an_unknown_word_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(AdvisorError, match="did you mean 'divergence'"):
        Monitor(policy={"mode": "stop", "stop_on": ["divergense"]})
