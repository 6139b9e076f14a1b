"""The validation split: disjoint, stable, in order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.split import count_shared_prompts, key_of, split
from train.errors import DataError


def keys(prompts):
    return np.array([key_of(prompt) for prompt in prompts], dtype=np.uint64)


@settings(max_examples=60, deadline=None)
@given(
    prompts=st.lists(st.text("ab c", max_size=6), min_size=2, max_size=60),
    share=st.floats(0.01, 0.6),
)
def test_rows_that_share_a_prompt_are_on_one_side(prompts, share):
    found = keys(prompts)
    try:
        train, held = split(found, share)
    except DataError:
        return
    assert sorted([*train, *held]) == list(range(len(prompts)))
    assert list(train) == sorted(train) and list(held) == sorted(held)
    assert not {key_of(prompts[i]) for i in train} & {key_of(prompts[i]) for i in held}
    assert len(train) and len(held)


def test_white_space_and_case_do_not_count():
    assert key_of("What  is\nit? ") == key_of("what is it?")
    assert key_of("what is it") != key_of("what is it?")


def test_a_row_keeps_its_side_when_rows_are_added():
    prompts = [f"question {i}" for i in range(400)]
    _, few = split(keys(prompts[:200]), 0.1)
    _, more = split(keys(prompts), 0.1)
    assert [i for i in more if i < 200] == few.tolist()


def test_the_share_is_about_what_was_asked():
    _, held = split(keys(f"question {i}" for i in range(4000)), 0.05)
    assert 150 < len(held) < 250
    assert held[:3].tolist() == GOLDEN


def test_few_rows_still_give_one_for_validation():
    train, held = split(keys(["a", "b", "c"]), 0.001)
    assert len(held) == 1 and len(train) == 2


def test_one_prompt_for_all_rows_is_one_clear_line():
    with pytest.raises(DataError, match="leaves nothing to train on"):
        split(keys(["same"] * 50), 0.05)


def test_prompts_on_both_sides_are_counted():
    assert count_shared_prompts(keys(["a", "b"]), keys(["B ", "c", "b"])) == 2


GOLDEN = [66, 103, 120]
