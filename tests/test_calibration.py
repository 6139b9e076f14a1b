"""Confidence that was measured: where it comes from, and when it lapses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from advisor.base.paths import data_dir
from advisor.diagnosis import diagnose
from advisor.errors import RuleError
from advisor.rulebook.calibration import Calibration, Counted, checksum, read_calibration
from advisor.rulebook.cases import run_of
from advisor.rulebook.load import load_full, load_rules
from advisor.rulebook.rule import Rule


def rule() -> Rule:
    found = load_rules().find("LR007")
    assert found is not None
    return replace(found, measured=None)


def test_a_finding_of_a_measured_rule_says_calibration() -> None:
    rules = load_rules()
    measured = {r.code: r.measured for r in rules if r.measured is not None}
    # of the rules whose condition is still the one that was measured
    assert len(measured) > 20
    full = load_full()
    said = {}
    for item in full:
        for case in item.cases:
            if case.expect == "fires" and not item.waits_for:
                for f in diagnose(run_of(case), rules).findings:
                    said[f.code] = (f.confidence, f.confidence_from)
    for code, (confidence, whence) in said.items():
        assert whence == ("calibration" if code in measured else "rule")
        if code in measured:
            assert confidence == measured[code]


def test_counts_are_drawn_towards_the_rules_own_word() -> None:
    item = rule()  # its word is high: 0.9
    few = Calibration(10.0, 1.0, 1, {item.code: Counted(checksum(item), (2, 0))})
    many = Calibration(10.0, 1.0, 1, {item.code: Counted(checksum(item), (200, 100))})
    assert few.confidence(item) == pytest.approx(9 / 12, abs=1e-3)
    assert many.confidence(item) == pytest.approx(109 / 210, abs=1e-3)


def test_generated_runs_weigh_less() -> None:
    item = rule()
    counts = Counted(checksum(item), (10, 5), (100, 100))
    assert Calibration(0.0, 0.1, 1, {item.code: counts}).confidence(item) == 0.75


def test_too_few_findings_measure_nothing() -> None:
    item = rule()
    counts = {item.code: Counted(checksum(item), (3, 3), (4, 4))}
    assert Calibration(2.0, 1.0, 8, counts).confidence(item) is None
    assert Calibration(2.0, 1.0, 7, counts).confidence(item) is not None


def test_a_rule_that_was_changed_since_has_no_measure() -> None:
    item = rule()
    known = Calibration(2.0, 1.0, 1, {item.code: Counted(checksum(item), (20, 20))})
    name = next(iter(item.limits))
    other = replace(item, limits={**item.limits, name: item.limits[name] * 2})
    assert known.confidence(item) is not None
    assert known.confidence(other) is None


def test_a_users_rule_with_the_code_of_ours_has_no_measure_of_ours(tmp_path: Path) -> None:
    ours = next(data_dir("rules").glob("loss/LR007*.yaml"))
    text = ours.read_text(encoding="utf-8")
    (tmp_path / ours.name).write_text(text, encoding="utf-8")
    found = load_rules([tmp_path]).find("LR007")
    assert found is not None and found.measured is None


def test_a_damaged_file_of_counts_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text("{", encoding="utf-8")
    with pytest.raises(RuleError, match=r"calibration\.json"):
        read_calibration(tmp_path)


def test_without_a_file_of_counts_every_rule_keeps_its_word(tmp_path: Path) -> None:
    assert read_calibration(tmp_path).confidence(rule()) is None
