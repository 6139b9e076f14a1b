"""Asked at any prefix of a run, a Monitor answers as `advise check` would of the log so far."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from advisor.monitor import Monitor
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Event
from benchmarks.generated.generator import KINDS, make
from tests.monitor.replay import Row, expected, feed, logged_rows, read_prefix

FAST_KINDS = ("divergence_late", "zero_loss_nan_grad", "overfit", "grpo", "eval_nan", "nan_late")
FACTS = {"max_steps": 5000, "num_train_epochs": 3}


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rules()


def rewound(rows: Sequence[Row]) -> list[Row]:
    """The run goes back by a sixth of its length, half way, and repeats a step."""
    half = len(rows) // 2
    again = [
        {k: v * 1.01 if k == "loss" and isinstance(v, float) else v for k, v in row.items()}
        for row in rows[half - half // 3 : half]
    ]
    return [*rows[:half], *again, *rows[half:], rows[-1]]


def prefixes(count: int, most: int, seed: int = 0) -> set[int]:
    """Some of the first 200 prefixes, and some of all."""
    draw = random.Random(seed)
    early = range(1, min(count, 200) + 1)
    return {*draw.sample(early, min(most, len(early))), *draw.choices(range(1, count + 1), k=most)}


def differing(
    rows: Sequence[Row], at: set[int], rulebook: Rulebook, events: dict[int, Event] | None = None
) -> list[int]:
    """Prefixes at which the Monitor and a reader of the log so far disagree."""
    events = events or {}
    monitor = Monitor(rulebook=rulebook, facts=FACTS, clock=lambda: 0.0)
    told: list[Event] = []
    wrong = []
    for k, row in enumerate(rows, 1):
        if k in events:
            told.append(events[k])
            monitor.event(events[k].kind, events[k].text, events[k].step)
        feed(monitor, row)
        if k in at or k in events:
            run = read_prefix(rows[:k], told, FACTS)
            # as text: the NaN of one evidence is not equal to that of the other
            if run is not None and repr(monitor.findings()) != repr(expected(run, rulebook)):
                wrong.append(k)
    assert not monitor.is_off
    return wrong


@pytest.mark.parametrize("kind", FAST_KINDS)
def test_findings_equal_those_of_check_at_prefixes_of_generated_runs(
    kind: str, rulebook: Rulebook
) -> None:
    rows = list(make(kind, 3).rows)
    assert differing(rows, prefixes(len(rows), 12), rulebook) == []


@pytest.mark.parametrize("kind", FAST_KINDS[:4])
def test_findings_equal_those_of_check_where_steps_go_back(kind: str, rulebook: Rulebook) -> None:
    rows = rewound(make(kind, 4).rows)
    assert differing(rows, prefixes(len(rows), 12), rulebook) == []


def test_findings_equal_those_of_check_at_each_event(rulebook: Rulebook) -> None:
    rows = list(make("spikes_repeated", 3).rows)
    events = {
        40: Event("warning", "all labels are masked (-100)", 40),
        60: Event("resume", "resumed from checkpoint-50", int(str(rows[60]["step"]))),
        90: Event("oom", "CUDA out of memory. Tried to allocate 2.00 GiB", 90),
    }
    assert differing(rows, set(), rulebook, events) == []


@pytest.mark.slow
def test_findings_equal_those_of_check_at_all_early_prefixes_of_all_kinds(
    rulebook: Rulebook,
) -> None:
    for number, kind in enumerate(KINDS):
        rows = list(make(kind, number % 10).rows)
        at = {*range(1, min(len(rows), 200) + 1), *prefixes(len(rows), 50)}
        assert differing(rows, at, rulebook) == [], kind


@pytest.mark.slow
def test_findings_equal_those_of_check_on_logs_of_strangers(rulebook: Rulebook) -> None:
    for name, rows in logged_rows():
        rows = [row for row in rows if "train_runtime" not in row]
        if not rows:
            continue
        at = {*range(1, min(len(rows), 200) + 1), *prefixes(len(rows), 50)}
        assert differing(rows, at, rulebook) == [], name
        assert differing(rewound(rows), prefixes(len(rows), 20), rulebook) == [], name
