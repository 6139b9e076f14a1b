"""Overrides of the command line."""

from __future__ import annotations

import pytest

from train.config.nodes import plain
from train.config.overrides import apply_overrides, split_overrides
from train.config.reading import read_text
from train.errors import TrainConfigError

TEXT = "optimizer: {lr: 1e-5, betas: [0.9, 0.99]}\npeft: null\n"


def after(*words: str) -> dict[str, object]:
    root = read_text(TEXT, "c.yaml")
    apply_overrides(root, list(split_overrides(words)))
    values = plain(root, {})
    assert isinstance(values, dict)
    return values


def test_a_value_follows_after_a_blank_or_an_equals_sign() -> None:
    assert after("--optimizer.lr", "2e-5")["optimizer"]["lr"] == 2e-5  # type: ignore[index]
    assert after("--optimizer.lr=3e-5")["optimizer"]["lr"] == 3e-5  # type: ignore[index]


def test_a_bare_flag_is_true() -> None:
    assert after("--peft.use_dora", "--compile.enabled")["peft"] == {"use_dora": True}


def test_missing_sections_are_made_and_null_ones_filled() -> None:
    assert after("--a.b.c", "1", "--peft.dim", "4") | {"optimizer": 0} == {
        "optimizer": 0, "peft": {"dim": 4}, "a": {"b": {"c": 1}},
    }  # fmt: skip


def test_negative_numbers_and_empty_texts_are_values() -> None:
    assert after("--x", "-1", "--y=") == after() | {"x": -1, "y": None}


def test_lists_are_given_whole_in_python_or_yaml_or_by_place() -> None:
    assert after("--p.m", "[q_proj, v_proj]")["p"] == {"m": ["q_proj", "v_proj"]}
    assert after("--p.m", "['a', 'b']")["p"] == {"m": ["a", "b"]}
    assert after("--p", "{a: x, b: 2}")["p"] == {"a": "x", "b": 2}
    assert after("--optimizer.betas.1", "0.95")["optimizer"]["betas"] == [0.9, 0.95]  # type: ignore[index]


def test_a_pattern_that_only_looks_like_a_list_stays_text() -> None:
    assert after("--p.m", "[qv]*_proj")["p"] == {"m": "[qv]*_proj"}


def test_the_last_of_two_overrides_wins() -> None:
    assert after("--x", "1", "--x", "2")["x"] == 2


def test_null_takes_a_section_away() -> None:
    assert after("--optimizer", "null")["optimizer"] is None


@pytest.mark.parametrize(
    "words", [("stray",), ("--",), ("--.a", "1"), ("--optimizer.betas.7", "1")]
)
def test_what_is_no_override_is_one_line(words: tuple[str, ...]) -> None:
    with pytest.raises(TrainConfigError):
        after(*words)
