"""What is wrong with samples is found on their tokens."""

import numpy as np
import pytest

from train.data.defects import (
    count_shared,
    leak_warnings,
    repeats,
    twice_begun,
    warnings_of,
    without_end,
)
from train.data.store import StoreBuilder
from train.data.types import Sample

BOS, EOS = 1, 2


class Tokenizer:
    bos_token_id, eos_token_id, unk_token_id = BOS, EOS, 0
    all_special_ids = (0, BOS, EOS)


def store_of(rows):
    builder = StoreBuilder()
    builder.add([Sample(row, [-100, *row[1:]]) for row in rows], list(range(len(rows))))
    return builder.build()


def rows(count, begin=(BOS,), end=(EOS,)):
    return [[*begin, 10 + n, 11 + n, *end] for n in range(count)]


def every(store):
    return np.arange(len(store))


def said_of(rows, cut=0):
    store = store_of(rows)
    return " ".join(warnings_of(store, every(store), Tokenizer(), cut))


def test_samples_that_repeat_are_counted_once_each():
    store = store_of([*rows(10), *rows(4)])
    assert repeats(store, every(store)) == 4
    assert repeats(store, np.arange(10)) == 0


def test_validation_samples_that_are_trained_on_are_counted():
    train, held = store_of(rows(10)), store_of([*rows(3), [BOS, 90, EOS]])
    assert count_shared(train, every(train), held, every(held)) == 3
    assert count_shared(train, np.arange(5, 10), held, every(held)) == 0


def test_an_end_counts_where_it_is_learnt_and_within_the_last_tokens():
    store = store_of([[BOS, 9, EOS], [BOS, 9, EOS, 13], [BOS, 9, 9]])
    assert without_end(store, every(store), {EOS}) == 1


def test_two_beginnings_are_seen():
    store = store_of([[BOS, BOS, 9, EOS], [BOS, 9, EOS]])
    assert twice_begun(store, every(store), BOS) == 1


def test_a_sound_set_is_not_warned_of():
    assert said_of(rows(40)) == ""


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ([*rows(20), *rows(20)], "20 of 40 training samples are duplicates"),
        (rows(40, end=()), "40 of 40 samples end without an end-of-text token"),
        (rows(40, begin=(BOS, BOS)), "40 of 40 samples begin with a double BOS"),
    ],
)
def test_a_faulty_set_is_warned_of(bad, what):
    assert what in said_of(bad)


def test_samples_that_were_cut_lack_their_end_for_that_reason():
    said = said_of(rows(40, end=()), cut=40)
    assert "cut off" in said and "end-of-text" not in said


def test_few_shared_samples_are_no_leak():
    assert leak_warnings(2, 100) == []
    assert leak_warnings(30, 90) == ["30 of 90 validation samples are also trained on"]
