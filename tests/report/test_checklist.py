"""A condition as bullets in words, with the values of its limits."""

from __future__ import annotations

import pytest

from advisor.report.checklist import checklist, in_words
from advisor.rulebook.condition import join
from advisor.signals import SIGNALS


def test_an_or_stands_below_its_own_bullet() -> None:
    lines = checklist(join(["loss.end > high", {"any": ["lr.high", "lr.unknown"]}]), {"high": 3})
    first, either, *sides = lines.splitlines()
    assert first == f"- {SIGNALS['loss.end'].doc}: above 3 ({SIGNALS['loss.end'].unit}, `loss.end`)"
    assert either == "- one of these:" and all(side.startswith("  - ") for side in sides)


@pytest.mark.parametrize(
    ("clause", "words"),
    [
        ("not lr.high", f"not: {SIGNALS['lr.high'].doc} (`lr.high`)"),
        ("loss.end + low > high", "`loss.end + 1 > 3`"),
        ("config.peft.dim >= high", "`config.peft.dim >= 3`"),
    ],
)
def test_a_clause_is_put_in_words_where_it_has_any(clause: str, words: str) -> None:
    assert in_words(clause, {"low": 1, "high": 3}) == words
