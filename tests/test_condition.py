"""The condition language: what it computes, what stays unknown, what it refuses."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.errors import RuleError
from advisor.rulebook.condition import clauses, exchange, join, parse


def answer(text: str, **values: float | None) -> bool | None:
    return parse(text).evaluate(lambda name: values[name.replace(".", "_")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 == 7", True),
        ("(1 + 2) * 3 == 9 and not 1 > 2", True),
        ("1 < 2 <= 2 < 3", True),
        ("1 < 2 > 3", False),
        ("-1 < 0 or 1 > 2", True),
        ("10 / 4 == 2.5", True),
    ],
)
def test_arithmetic_and_comparison_follow_the_usual_rules(text: str, expected: bool) -> None:
    assert parse(text).evaluate(lambda _: None) is expected


def test_a_missing_value_that_cannot_matter_leaves_the_answer_known() -> None:
    assert answer("a > 1 and b > 1", a=0, b=None) is False
    assert answer("a > 1 or b > 1", a=2, b=None) is True


def test_a_missing_value_that_could_matter_makes_the_answer_unknown() -> None:
    assert answer("a > 1 and b > 1", a=2, b=None) is None
    assert answer("a > 1 or b > 1", a=0, b=None) is None
    assert answer("not a", a=None) is None
    assert answer("a < b < 1", a=2, b=None) is None


def test_a_chain_is_false_as_soon_as_one_known_pair_is() -> None:
    assert answer("a < b < c", a=None, b=2, c=1) is False


def test_nan_is_unknown_and_not_quietly_false() -> None:
    assert answer("a > 1", a=math.nan) is None
    assert answer("a - a > 1", a=math.inf) is None


def test_division_by_zero_is_unknown() -> None:
    assert answer("a / b > 1", a=1, b=0) is None


def test_a_true_answer_names_the_side_that_it_stands_on() -> None:
    verdict = parse("a > 1 or b > 1").judge({"a": 0.0, "b": 2.0}.get)
    assert verdict.names == ("b",)


def test_an_unknown_answer_names_what_was_missing() -> None:
    verdict = parse("a > 1 and (b > 1 or c > 1)").judge({"a": 2.0, "c": 0.0}.get)
    assert verdict.value is None
    assert verdict.names == ("b",)


def test_names_come_in_the_order_of_the_text_and_once() -> None:
    assert parse("b.x > 1 and a > b.x").names == ("b.x", "a")


@pytest.mark.parametrize(
    "text",
    [
        "f(1)", "a[0] > 1", "a ** 2 > 1", "a if b else c", "lambda: 1", "'x' == a", "a % 2", "a // 2",  # noqa: E501
        "True", "a is b", "a in b", "[a]", "(a, b)", "a := 1", "a; b", "", "a >", "f().x > 1",
        "__import__('os')", "a @ b", "~a", "a & b", "await a", "f'{a}'", "...", "1j > 0",
        "x" * 0 + "(" * 500,
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_with_a_rule_error(text: str) -> None:
    with contextlib.suppress(RuleError):
        parse(text)


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))


@given(a=numbers, b=numbers, c=numbers)
def test_filling_in_a_missing_value_never_turns_a_known_answer(
    a: float | None, b: float | None, c: float | None
) -> None:
    condition = parse("a > b or not (c > 1 and a < 3)")
    values = {"a": a, "b": b, "c": c}
    answers = {
        condition.evaluate((values | {name: filled}).get)
        for name in values
        if values[name] is None
        for filled in (-1e9, 0.0, 2.0, 1e9)
    }
    known = condition.evaluate(values.get)
    if known is not None and all(v is None or not math.isnan(v) for v in values.values()):
        assert answers <= {known}


WHOLE = ["a > 1", {"any": ["b", ["c < 2", "not d"]]}, "e >= 3"]


def test_clauses_are_joined_by_and_those_under_any_by_or() -> None:
    condition = parse(join(WHOLE))
    values = {"a": 2.0, "b": 0.0, "c": 1.0, "d": 0.0, "e": 3.0}
    assert condition.evaluate(values.get) is True
    assert condition.evaluate({**values, "d": 1.0}.get) is False
    assert condition.evaluate({**values, "b": 1.0, "d": 1.0}.get) is True
    assert condition.evaluate({**values, "e": 2.0}.get) is False


def test_a_joined_condition_reads_as_the_clauses_it_was_made_of() -> None:
    first, either, last = clauses(join(WHOLE))
    assert (first.text, last.text) == ("a > 1", "e >= 3")
    assert either.kind == "any" and either.parts[0].text == "b"
    assert [part.text for part in either.parts[1].parts] == ["c < 2", "not d"]


def test_how_a_condition_is_bracketed_does_not_change_its_clauses() -> None:
    assert clauses("a and b and (c or d)") == clauses("((a) and b) and ((c) or (d))")


@pytest.mark.parametrize("bad", [3, "", [], {"any": []}, {"any": ["a"], "all": ["b"]}, "a) or (b"])
def test_what_is_no_clause_is_refused(bad: object) -> None:
    with pytest.raises(RuleError):
        join([bad])


def test_names_are_exchanged_whole() -> None:
    text = exchange("loss.end > high and loss.ending < high", {"loss.end": "loss.now", "high": 2})
    assert text == "loss.now > 2 and loss.ending < 2"
