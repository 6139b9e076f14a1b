"""Packed rows: every sample once, none over the size unless it is longer alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.order import shuffle
from train.data.packing import AUTO, pack, packed_size, percentile
from train.errors import DataError

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, size=st.integers(8, 80), seed=st.integers(0, 99), window=st.integers(1, 90))
def test_each_sample_stands_in_one_row_that_holds_it(lengths, size, seed, window):
    array = np.array(lengths)
    rows = pack(array, size, shuffle(len(lengths), seed), window)
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    for row in rows:
        assert array[row].sum() <= size or len(row) == 1


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_no_two_rows_of_a_window_would_fit_into_one(lengths, seed):
    array = np.array(lengths)
    sums = sorted(int(array[row].sum()) for row in pack(array, 64, shuffle(len(array), seed)))
    assert len(sums) < 2 or sums[0] + sums[1] > 64


def test_rows_are_the_same_for_a_seed_and_others_for_another():
    lengths = shuffle(500, 1) % 50 + 1
    first, again, other = (pack(lengths, 100, shuffle(500, seed)) for seed in (3, 3, 4))
    assert [r.tolist() for r in first] == [r.tolist() for r in again]
    assert [r.tolist() for r in first] != [r.tolist() for r in other]


def test_instruction_lengths_fill_rows_to_nineteen_parts_in_twenty():
    lengths = np.clip(np.exp(np.random.default_rng(0).normal(4.5, 0.8, 3000)), 4, 512).astype(int)
    rows = pack(lengths, 512, shuffle(3000, 0))
    assert lengths.sum() / (len(rows) * 512) > 0.95


def test_unshuffled_rows_keep_the_order_of_their_first_samples():
    rows = pack(np.array([5, 5, 5, 5, 5, 5]), 10, np.arange(6))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]


def test_auto_is_the_length_that_nineteen_in_twenty_samples_do_not_exceed():
    lengths = np.arange(1, 101)
    assert packed_size(AUTO, lengths) == percentile(lengths, 95) == 95
    assert packed_size(0, lengths) == 0
    with pytest.raises(DataError, match="-7; give tokens"):
        packed_size(-7, lengths)


def test_a_shuffle_is_a_permutation_that_never_changes():
    assert sorted(shuffle(1000, 42, 1).tolist()) == list(range(1000))
    assert shuffle(8, 42, 0).tolist() == shuffle(8, 42, 0).tolist()
    assert shuffle(50, 42, 0).tolist() != shuffle(50, 42, 1).tolist()
    assert shuffle(50, 42, 0).tolist() != shuffle(50, 43, 0).tolist()
    assert shuffle(8, 42, 0).tolist() == GOLDEN


GOLDEN = [3, 7, 0, 4, 2, 1, 5, 6]
