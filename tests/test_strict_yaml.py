"""YAML's traps are closed, and every value keeps its line."""

from __future__ import annotations

import math

import pytest

from advisor.base.strict_yaml import parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-7", 1e-7),
        ("1E5", 1e5),
        ("2.", 2.0),
        (".5", 0.5),
        ("010", 10),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("null", None),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("-.inf", -math.inf),
    ],
)
def test_a_plain_value_is_read_as_it_looks(text: str, value: object) -> None:
    document = parse_yaml(f"key: {text}\n")
    assert document.faults == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_a_repeated_key_is_a_fault_with_its_line() -> None:
    document = parse_yaml("a: 1\nb: 2\na: 3\n")
    assert [(fault.line, fault.what) for fault in document.faults] == [(3, "'a' is given twice")]


def test_a_comma_that_cuts_a_text_in_flow_style_is_a_fault() -> None:
    document = parse_yaml("- {text: one, two}\n")
    assert "quote" in document.faults[0].what


def test_nested_values_keep_their_lines() -> None:
    document = parse_yaml("a:\n  - x: 1\n  - y: 2\n    z: 3\n")
    assert document.line(("a", 1, "z")) == 4
    assert document.line(("a", 1, "absent")) == 3


@pytest.mark.parametrize(
    "text", ["a: b: c", "a: [1", "\t- x", "a: !!python/object:os.system x", "&"]
)
def test_broken_yaml_is_one_fault_and_no_exception(text: str) -> None:
    document = parse_yaml(text)
    assert document.faults or document.data


def test_aliases_are_refused() -> None:
    document = parse_yaml("a: &x [1, 2]\nb: *x\n")
    assert "alias" in document.faults[0].what


def test_an_empty_file_holds_nothing() -> None:
    assert parse_yaml("").data is None
