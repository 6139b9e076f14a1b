"""Casts and variables."""

from __future__ import annotations

import pytest

from train.config.values import cast, expand
from train.errors import TrainConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", None), ("None", None), ("true", True), ("False", False),
        ("1e-8", 1e-8), ("1.0e-5", 1e-5), ("-3", -3), ("1_000", 1000), ("0x10", 16),
        ("[0.9, 0.95]", [0.9, 0.95]), ("{'a': 1}", {"a": 1}), ("(1, 2)", (1, 2)),
        ("'7'", "7"), (".5", 0.5), ("-.inf", float("-inf")),
    ],
)  # fmt: skip
def test_a_text_becomes_the_value_that_it_looks_like(text: str, value: object) -> None:
    assert cast(text) == value and type(cast(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["bf16", "*.proj", "train[:256]", "2024-10-11", "__import__('os')", "...", "{1, 2}", "1+2",
     "meta/llama", "(" * 5000, "9" * 20_000, "007", "yes"],
)  # fmt: skip
def test_what_is_no_literal_stays_text(text: str) -> None:
    assert cast(text) == text


def test_variables_come_from_the_environment_or_their_default() -> None:
    env = {"HOME": "/h", "EMPTY": ""}
    assert expand("${HOME}/x-${NOPE,y}-${EMPTY}", env) == "/h/x-y-"
    assert expand("${NOPE,}", env) == ""
    assert expand("plain $HOME", env) == "plain $HOME"


def test_an_unset_variable_without_default_is_named() -> None:
    with pytest.raises(
        TrainConfigError, match=r"NOPE is not set; set it, or write \$\{NOPE,default\}"
    ):
        expand("${NOPE}", {})


def test_a_variable_must_have_a_name() -> None:
    with pytest.raises(TrainConfigError, match="names no variable"):
        expand("${model.name}", {})
