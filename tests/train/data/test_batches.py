"""Loaders: the same batches for a seed, resumed to the bit, packed or not, streamed or not."""

import json
import multiprocessing
import subprocess

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.batches import collate  # noqa: E402
from tests.train.data.batching import MAPPING, borders, config, ids, rows, texts_of  # noqa: E402
from train.config.types import DatasetConfig, LoaderConfig  # noqa: E402
from train.data.batches import build_data  # noqa: E402
from train.data.types import IGNORE, Sample  # noqa: E402
from train.errors import DataError  # noqa: E402


def test_documents_stand_end_to_end_with_labels_shifted_within_each():
    first = Sample([1, 2, 3], [IGNORE, 2, 3])
    second, third = Sample([4, 5], [IGNORE, 5]), Sample([6, 7], [6, 7])
    batch = collate([[first, second], [third]])
    assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch.labels.tolist() == [[2, 3, IGNORE, 5, IGNORE, 7, IGNORE]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1, 0, 1]]
    assert batch.cu_seqlens.tolist() == [0, 3, 5, 7] and batch.cu_seqlens.dtype == torch.int32
    assert (batch.rows, batch.samples, batch.supervised, batch.longest) == (2, 3, 4, 3)
    assert batch.supervised == first.supervised + second.supervised + third.supervised


def test_an_epoch_gives_each_sample_once_and_ends_with_a_short_batch(plain, write_rows):
    data = build_data(config(write_rows(rows(20))), plain)
    batches = list(data.train)
    assert [b.rows for b in batches] == [3, 3, 3, 3, 3, 3, 2]
    assert data.train.batches_per_epoch == 7
    texts = sorted(
        plain.decode(b.input_ids[0][a:c].tolist()) for b in batches for a, c in borders(b)
    )
    assert texts == sorted(f"{r['q']} {r['a']}</s>" for r in rows(20))
    assert data.facts.samples == 20
    assert data.facts.supervised == sum(b.supervised for b in batches)
    assert data.facts.tokens == sum(b.input_ids.numel() for b in batches)


def test_epochs_differ_and_a_seed_repeats(plain, write_rows):
    path = write_rows(rows(20))
    loaders = [build_data(config(path, seed=seed), plain).train for seed in (1, 1, 2)]
    first, again, other = ([ids(b) for b in loader] for loader in loaders)
    assert first == again != other
    loaders[0].set_epoch(1)
    assert [ids(b) for b in loaders[0]] != first


def test_unshuffled_data_come_in_their_order(plain, write_rows):
    data = build_data(config(write_rows(rows(7)), loader={"shuffle": False}), plain)
    assert plain.decode(next(iter(data.train)).input_ids[0]).startswith("how many legs has 0?")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("packed", [0, 60])
@pytest.mark.parametrize("streaming", [False, True])
def test_a_pass_goes_on_to_the_bit_from_every_batch(plain, write_rows, workers, packed, streaming):
    asked = config(
        write_rows(rows(60)), workers=workers, packed=packed, streaming=streaming, max_steps=99
    )
    loader = build_data(asked, plain).train
    loader.set_epoch(1)
    whole, states = [], [json.dumps(loader.state_dict())]
    for batch in loader:
        whole.append(ids(batch))
        states.append(json.dumps(loader.state_dict()))
    assert len(whole) > 4
    for at in range(0, len(states), 4 if workers else 1):
        later = build_data(asked, plain).train
        later.set_epoch(1)
        if at:
            later.load_state_dict(json.loads(states[at]))
        assert [ids(batch) for batch in later] == whole[at:], at


def test_a_pass_goes_on_with_another_number_of_workers(plain, write_rows):
    path = write_rows(rows(20))
    loader = build_data(config(path), plain).train
    passed = iter(loader)
    next(passed)
    state, rest = loader.state_dict(), [ids(b) for b in passed]
    later = build_data(config(path, workers=2), plain).train
    later.load_state_dict(state)
    assert [ids(b) for b in later] == rest


def test_a_pass_draws_nothing_from_the_global_generator(plain, write_rows):
    for streaming in (False, True):
        asked = config(write_rows(rows(9)), streaming=streaming, max_steps=5, workers=2)
        loader = build_data(asked, plain).train
        torch.manual_seed(5)
        before = torch.get_rng_state()
        list(loader)
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("streaming", [False, True])
def test_workers_end_with_a_pass_that_is_left(plain, write_rows, streaming):
    asked = config(write_rows(rows(60)), streaming=streaming, max_steps=9, workers=2)
    loader = build_data(asked, plain).train
    passed = iter(loader)
    next(passed)
    state, rest = loader.state_dict(), [ids(next(passed)) for _ in range(3)]
    passed.close()
    assert not multiprocessing.active_children()
    loader.load_state_dict(state)
    assert [ids(batch) for batch in loader][:3] == rest


def test_workers_outlive_a_signal_of_others_and_end_with_one_of_the_run(plain, write_rows):
    asked = config(write_rows(rows(60)), workers=2)
    passed = iter(build_data(asked, plain).train)
    next(passed)
    workers = multiprocessing.active_children()
    pids = [str(worker.pid) for worker in workers]
    subprocess.run(["kill", "-TERM", *pids], check=True)
    assert len(list(passed)) == 19
    passed = iter(build_data(asked, plain).train)
    next(passed)
    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
        worker.join(10)
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_a_checkpoint_of_other_data_is_refused(plain, write_rows):
    loader = build_data(config(write_rows(rows(20))), plain).train
    with pytest.raises(DataError, match="has 20 rows, the checkpoint saw 19"):
        loader.load_state_dict({"epoch": 0, "batch": 1, "rows": 19})


def test_packed_rows_are_full_and_lose_nothing(plain, write_rows):
    path = write_rows(rows(60))
    packed, single = (build_data(config(path, packed=size), plain) for size in (128, 0))
    assert packed.facts.rows < single.facts.rows == packed.facts.samples
    assert packed.facts.efficiency > 0.8
    both = [
        sorted(tuple(b.input_ids[0][a:c].tolist()) for b in d.train for a, c in borders(b))
        for d in (packed, single)
    ]
    assert both[0] == both[1]


def test_auto_packing_takes_the_95th_percentile_and_cuts_nothing(plain, write_rows):
    long = {"q": "how many legs? " + "lazy dog " * 40, "a": "eight"}
    data = build_data(config(write_rows([*rows(40), long]), packed=-1), plain)
    assert data.facts.packed_sequence_size == data.facts.lengths[95] < data.facts.lengths[100]
    assert data.facts.truncated == 0


def test_rows_without_an_answer_are_dropped_counted_and_told(plain, write_rows):
    data = build_data(config(write_rows([*rows(9), {"q": "empty?", "a": ""}])), plain)
    assert (data.facts.samples, data.facts.all_masked) == (9, 1)
    assert any("1 sample" in line and "nothing to learn" in line for line in data.notices)


def test_cut_rows_learn_what_is_left_and_do_not_learn_to_end(plain, write_rows):
    source = write_rows([{"q": "lazy dog", "a": "eight legs of course " * 9}])
    data = build_data(config(source, seq_length=12), plain)
    (batch,) = list(data.train)
    assert batch.input_ids.shape == (1, 12) and data.facts.truncated == 1
    assert batch.supervised > 0 and plain.eos_token_id not in batch.labels


def test_rows_whose_answers_are_all_cut_off_are_one_clear_line(plain, write_rows):
    source = write_rows([{"q": "lazy dog " * 20, "a": "eight"}])
    with pytest.raises(DataError, match=r"all 1 rows are masked.*raise dataset.seq_length"):
        build_data(config(source, seq_length=12), plain)


def test_an_empty_file_is_one_clear_line(plain, write_rows):
    with pytest.raises(DataError, match="no rows"):
        build_data(config(write_rows([])), plain)


def test_the_split_is_disjoint_and_a_leaking_validation_set_is_told(plain, write_rows):
    path = write_rows([*rows(60), *rows(60)])
    data = build_data(config(path, validation_split=0.2), plain)
    train, held = (
        {t for b in part for t in texts_of(plain, b)} for part in (data.train, data.validation)
    )
    assert train and held and not train & held
    assert data.facts.samples + data.validation_facts.samples == 120
    leak = DatasetConfig(
        kind="columns", source=path, column_mapping=MAPPING, limit_dataset_samples=10
    )
    told = build_data(config(path, validation_dataset=leak), plain).notices
    assert any(line.startswith("10 of 10 validation samples") for line in told)


def test_validation_is_not_shuffled_and_has_a_batch_size_of_its_own(plain, write_rows):
    loader = LoaderConfig(batch_size=5)
    asked = config(write_rows(rows(60)), validation_split=0.4, validation_dataloader=loader)
    held = build_data(asked, plain).validation
    first, again = list(held), list(held)
    assert first[0].rows == 5
    assert [ids(b) for b in first] == [ids(b) for b in again]
