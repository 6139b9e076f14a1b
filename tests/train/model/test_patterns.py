"""Which modules a pattern means."""

from __future__ import annotations

import pytest

from train.model.patterns import matches

Q = "model.layers.1.self_attn.q_proj"


@pytest.mark.parametrize(
    "pattern",
    ["*.proj", "*q_proj", "*_proj", "q_proj", "self_attn.q_proj", Q, "*.layers.1.*", "*layers.1*",
     "model.layers.?.*", "*.layers.[0-3].*", ".*q_proj", "*attn*"],
)  # fmt: skip
def test_a_pattern_that_means_the_module(pattern):
    assert matches(pattern, Q)


@pytest.mark.parametrize(
    "pattern",
    ["proj", "*.q", "k_proj", "attn.q_proj", "model.layers.1", "*.layers.11.*", "*.mlp.*",
     "*.layers.[2-3].*", "layers.*", "*(q)_proj"],
)  # fmt: skip
def test_a_pattern_that_does_not(pattern):
    assert not matches(pattern, Q)


@pytest.mark.parametrize("pattern", ["*.layers.1.*", "*layers.1*", "*.layers.1*proj", "*1.mlp*"])
def test_a_number_is_never_part_of_a_longer_one(pattern):
    assert not matches(pattern, "model.layers.11.mlp.up_proj")
    assert not matches(pattern, "model.layers.21.mlp.up_proj")
    assert matches(pattern, "model.layers.1.mlp.up_proj")


@pytest.mark.parametrize("name", ["q_proj", "o_proj", "gate_proj", "down_proj"])
def test_the_guides_pattern_finds_all_projections(name):
    assert matches("*.proj", f"model.layers.0.mlp.{name}")
    assert not matches("*.proj", "lm_head")
