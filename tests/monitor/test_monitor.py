"""A run watched point by point: what is told, when, and once."""

from __future__ import annotations

import math

import numpy as np
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


class NoNumber:
    """What a tensor on a device looks like; reading it would make the device wait."""

    def item(self) -> float:
        raise AssertionError("the device had to wait")


def test_a_fault_of_ours_is_told_once_and_the_training_goes_on() -> None:
    said: list[str] = []
    monitor = Monitor(sink=said.append)
    monitor._stream.config = None  # type: ignore[assignment]  # a fault in our own house
    assert fed(monitor, falling(200)) == []
    assert len(said) == 1 and "switches itself off" in said[0]
    assert monitor.is_off and monitor.findings() == ()


def test_a_fault_is_let_through_for_those_who_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVISE_DEBUG", "1")
    monitor = Monitor()
    monitor._stream.config = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        fed(monitor, falling(200))


def test_what_is_no_number_is_left_out_and_told_once() -> None:
    said: list[str] = []
    monitor = Monitor(sink=said.append)
    for step in range(1, 30):
        monitor.observe(step, loss=2.0 / step, grad_norm=NoNumber(), note="warm")
    assert len(said) == 1 and "'grad_norm' is a NoNumber" in said[0]
    assert set(monitor.report().run.series) == {"train/loss"}


def test_numbers_of_numpy_and_texts_that_mean_numbers_are_taken() -> None:
    monitor = Monitor()
    monitor.observe(1, loss=np.float32(2.0), grad_norm="nan")
    series = monitor.report().run.series
    assert series["train/loss"].values[0] == 2.0 and np.isnan(series["train/grad_norm"].values[0])


def test_what_makes_sense_only_at_the_end_is_told_at_the_end() -> None:
    monitor = Monitor(facts={"max_steps": 200})
    during = fed(monitor, [3 - 0.01 * step for step in range(120)])
    assert not {c.finding.symptom for c in during} & {"undertrained", "no_eval"}
    assert {c.finding.symptom for c in monitor.close()} >= {"undertrained", "no_eval"}


def test_a_jump_is_told_at_its_own_point_and_withdrawn_when_it_has_healed() -> None:
    losses = [*falling(80), 1.5, *falling(80)[40:]]
    changes = [c for c in fed(Monitor(), losses) if c.finding.symptom == "spike"]
    assert (changes[0].kind, changes[0].step) == ("raised", 81)
    assert changes[-1].kind == "withdrawn" and changes[-1].step < 95


def test_an_event_of_memory_is_told_at_once() -> None:
    monitor = Monitor()
    fed(monitor, falling(30))
    told = monitor.event("oom", "CUDA out of memory. Tried to allocate 2.00 GiB", 31)
    assert [c.finding.symptom for c in told] == ["oom"]


def test_the_same_rows_give_the_same_changes() -> None:
    rows = [*falling(60), *[4.0] * 30]
    one = fed(Monitor(clock=lambda: 0.0), rows)
    assert [repr(c) for c in one] == [repr(c) for c in fed(Monitor(clock=lambda: 0.0), rows)]


def test_a_slow_training_is_looked_at_more_often() -> None:
    def looks(seconds: float) -> int:
        now = [0.0]
        monitor = Monitor(clock=lambda: now[0])
        before, count = monitor._schedule.next_full, 0
        for step, loss in enumerate(falling(300), 1):
            now[0] += seconds
            monitor.observe(step, loss=loss)
            count += monitor._schedule.next_full != before
            before = monitor._schedule.next_full
        return count

    assert looks(10.0) > looks(0.0)


def test_a_monitor_that_is_off_says_nothing() -> None:
    assert fed(Monitor(policy="off"), [*falling(60), math.nan]) == []
