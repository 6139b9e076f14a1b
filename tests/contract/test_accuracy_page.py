"""docs/accuracy.md says what the committed figures say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")


def test_the_page_is_the_one_that_its_data_make() -> None:
    from benchmarks.accuracy.page import page

    assert page(DATA) == PAGE, "stale: run `python -m benchmarks.accuracy.report`"


def test_every_goal_says_whether_it_is_met_and_by_how_much_not() -> None:
    rows = re.findall(r"^\| .* \| (?:>=|<=|0 of) .*$", PAGE, re.MULTILINE)
    assert len(rows) >= 6
    for row in rows:
        assert re.search(r"\| (yes|no, by )[^|]*\|$", row), row


def test_a_share_in_the_data_is_what_its_counts_make() -> None:
    for found in DATA["sets"].values():
        for count in found["symptoms"].values():
            assert 0 <= count["hit"] <= count["demanded"]
            assert 0 <= count["right"] <= count["said"]
        wanted = [c["f1"] for c in found["symptoms"].values() if c["demanded"]]
        if wanted:
            assert found["macro"][0] == pytest.approx(sum(wanted) / len(wanted), abs=1e-3)


def test_the_bound_of_the_alarm_rate_is_said_and_follows_from_the_runs() -> None:
    from benchmarks.accuracy.scores import upper_bound

    for kinds in [*DATA["alarms"].values(), DATA["all_alarms"]]:
        for hit, runs, bound in kinds.values():
            if runs:
                assert bound == pytest.approx(upper_bound(hit, runs), abs=1e-4)
    assert "rule of three" in re.sub(r"\s+", " ", PAGE)


def test_the_reliability_diagram_lies_beside_the_page() -> None:
    assert "(calibration.svg)" in PAGE
    assert (ROOT / "docs" / "calibration.svg").exists()
