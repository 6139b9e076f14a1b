"""Streams: every row once, shuffled, and one clear line where something is wrong."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.data.batching import config, ids, rows, texts_of
from train.data.batches import build_data
from train.data.encode import Encoder
from train.data.loader import LoadPlan
from train.data.reading import RowReader
from train.data.sources import wrap_dataset
from train.data.streaming import StreamLoader
from train.errors import DataError, TrainConfigError


def test_a_stream_does_not_go_on_with_another_number_of_workers(plain, write_rows):
    asked = [
        config(write_rows(rows(20)), streaming=True, max_steps=9, workers=workers)
        for workers in (0, 2)
    ]
    first, second = (build_data(each, plain).train for each in asked)
    next(iter(first))
    with pytest.raises(DataError, match=r"set dataloader\.num_workers to 0"):
        second.load_state_dict(first.state_dict())


def test_a_stream_gives_each_row_once_with_any_number_of_workers(plain, write_rows):
    path = write_rows(rows(50))
    for workers in (0, 2):
        asked = config(path, streaming=True, max_steps=9, workers=workers)
        loader = build_data(asked, plain).train
        assert loader.batches_per_epoch is None
        texts = [text for batch in loader for text in texts_of(plain, batch)]
        assert sorted(texts) == sorted(f"{r['q']} {r['a']}</s>" for r in rows(50))


def test_a_stream_is_shuffled_by_seed_and_epoch(plain, write_rows):
    path = write_rows(rows(50))
    loader = build_data(config(path, streaming=True, max_steps=9), plain).train
    first = [ids(b) for b in loader]
    loader.set_epoch(1)
    assert [ids(b) for b in loader] != first
    loader.set_epoch(0)
    assert [ids(b) for b in loader] == first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"streaming": True}, "max_steps"),
        ({"streaming": True, "max_steps": 5, "validation_split": 0.1}, "stream is not split"),
    ],
)
def test_a_stream_that_cannot_be_trained_on_is_one_clear_line(plain, write_rows, changes, said):
    with pytest.raises(TrainConfigError, match=said):
        build_data(config(write_rows(rows(20)), **changes), plain)


def test_a_broken_row_in_a_worker_is_one_clear_line(plain, tmp_path):
    path = tmp_path / "rows.jsonl"
    good = "".join(json.dumps(row) + "\n" for row in rows(1500))
    path.write_text(good + "{broken\n")
    loader = build_data(config(str(path), streaming=True, max_steps=5, workers=2), plain).train
    with pytest.raises(DataError, match=r"^dataset: .*rows.jsonl:1501: not JSON.*$"):
        list(loader)


def test_a_streamed_data_set_of_the_hub_loses_no_row_to_workers(plain):
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset.from_list(rows(30)).to_iterable_dataset(num_shards=3)
    source, _ = wrap_dataset("hub", found)
    asked = config("hub", streaming=True, max_steps=9).dataset
    reader = RowReader(asked, source, Encoder(plain), None)
    reader.prepare(rows(1))
    for workers in (0, 2):
        loader = StreamLoader(reader, LoadPlan(batch_size=3, workers=workers), 0)
        texts = [text for batch in loader for text in texts_of(plain, batch)]
        assert sorted(texts) == sorted(f"{r['q']} {r['a']}</s>" for r in rows(30))
