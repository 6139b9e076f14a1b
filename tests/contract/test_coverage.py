"""Every row of the guide is a rule with cases, a range with cases, or a documented default."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.config.defaults import load_defaults
from advisor.config.ranges import load_ranges
from advisor.report.practice import PracticeRow, load_rows
from advisor.rulebook.guide import GuideRow, load_guide
from advisor.rulebook.load import load_full

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


IDS = list(load_guide())
DEFAULTS = {default.id: default for default in load_defaults()}
RULES = list(load_full())
LATER = {row for rule in RULES if rule.waits_for for row in rule.guide}


def shown(expect: str) -> set[str]:
    """The rows that a case with this answer shows."""
    return {
        row
        for rule in RULES
        for case in rule.cases
        if case.expect == expect
        for row in case.guide or rule.guide
    }


FIRES, SILENT = shown("fires"), shown("silent")


def test_the_guide_has_103_rows() -> None:
    assert len(IDS) == len(set(IDS)) == 103


@pytest.mark.skipif(not SHARED.is_dir(), reason="the guide is not at hand")
def test_the_ids_are_those_of_the_guide() -> None:
    lines = (SHARED / "guide" / "rows.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == IDS


@pytest.mark.parametrize("row", IDS)
def test_a_row_is_shown_at_work_or_is_a_default_or_waits_for_a_later_stage(row: str) -> None:
    if row in LATER or (row in DEFAULTS and row not in FIRES):
        return
    assert row in FIRES, "no case fires for it"
    assert row in SILENT, "no case stays silent for it"


@pytest.mark.parametrize("row", load_guide().values(), ids=lambda row: row.id)
def test_a_row_says_what_is_seen_and_what_follows_or_is_a_range(row: GuideRow) -> None:
    if row.id.startswith("range-"):
        assert not row.see + row.means + row.do
    else:
        assert row.see
        assert row.means or row.do


def test_no_rule_range_or_default_names_a_row_that_does_not_exist() -> None:
    named = {row for rule in RULES for row in rule.guide}
    named |= {row.guide for row in load_ranges() if row.guide} | set(DEFAULTS)
    assert named <= set(IDS)


def test_every_range_row_is_in_the_ranges() -> None:
    ranges = {row for row in IDS if row.startswith("range-")}
    assert ranges == {row.guide for row in load_ranges() if row.guide}
    assert all(bool(row.guide) != bool(row.origin) for row in load_ranges())


def test_at_most_sixteen_rows_wait_for_a_later_stage() -> None:
    assert len(LATER) <= 16
    assert not LATER & (FIRES | set(DEFAULTS))


@pytest.mark.parametrize("row", DEFAULTS)
def test_a_default_says_where_it_is_and_why(row: str) -> None:
    default = DEFAULTS[row]
    assert (ROOT / default.where).is_file()
    assert default.key and default.why


PRACTICE = load_rows()


def test_the_table_of_practice_has_32_rows_in_order() -> None:
    assert [row.number for row in PRACTICE] == list(range(1, 33))


@pytest.mark.parametrize("row", PRACTICE, ids=lambda row: str(row.number))
def test_a_row_of_practice_has_a_rule_that_fires_and_a_case_that_looks_alike(
    row: PracticeRow,
) -> None:
    rules = [rule for rule in RULES if row.number in rule.practice]
    assert rules, "no rule names it"
    cases = [case for rule in rules for case in rule.cases]
    assert any(case.trap or case.near for case in cases), "no case stays silent for it"
    assert row.benign or any(case.expect == "fires" for case in cases)


def test_no_rule_names_a_row_of_practice_that_does_not_exist() -> None:
    named = {number for rule in RULES for number in rule.practice}
    assert named <= {row.number for row in PRACTICE}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the table of practice is not at hand")
def test_the_rows_of_practice_are_those_of_the_table() -> None:
    lines = (SHARED / "PRACTICE.md").read_text(encoding="utf-8").splitlines()
    numbers = [int(line.split("|")[1]) for line in lines if line.startswith("| ") and
               line.split("|")[1].strip().isdigit()]  # fmt: skip
    assert numbers == [row.number for row in PRACTICE]
