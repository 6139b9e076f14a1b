"""What is generated from rule files and ranges is up to date in the checkout."""

from __future__ import annotations

from pathlib import Path

from advisor.config.ranges import COMPILED, compile_ranges
from advisor.report.page import documents
from advisor.report.readme import SHOWN, readme
from advisor.rulebook.load import INDEX, compile_index, load_full, load_rules

ROOT = Path(__file__).resolve().parents[2]
HINT = "stale: run `make docs`"


def test_the_pages_of_all_rules_are_fresh() -> None:
    texts = documents(load_full())
    stale = [n for n, t in texts.items() if (ROOT / n).read_text(encoding="utf-8") != t]
    assert not stale, HINT
    pages = {f"docs/rules/{path.name}" for path in (ROOT / "docs" / "rules").glob("*.md")}
    assert pages <= set(texts), HINT


def test_the_compiled_rules_are_fresh() -> None:
    assert (ROOT / "rules" / INDEX).read_text(encoding="utf-8") == compile_index(), HINT


def test_the_compiled_ranges_are_fresh() -> None:
    assert (ROOT / "presets" / COMPILED).read_text(encoding="utf-8") == compile_ranges(), HINT


def test_compiled_rules_are_those_of_the_files_less_their_cases() -> None:
    full = {rule.code: rule for rule in load_full()}
    for rule in load_rules():
        assert rule.when == full[rule.code].when
        assert rule.limits == full[rule.code].limits
        assert rule.edits == full[rule.code].edits


def test_the_sample_in_the_readme_is_what_the_command_prints() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == readme(ROOT), HINT
    assert f"$ advise {SHOWN}\n{SHOWN}/training.jsonl  warning\n" in text
