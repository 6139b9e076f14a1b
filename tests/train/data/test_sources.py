"""Rows of local files and folders, splits and limits, and what is wrong with them."""

import gzip
import json

import pytest

from train.config.types import DatasetConfig
from train.data.slices import parse_split
from train.data.sources import open_source, wrap_dataset
from train.errors import DataError

ROWS = [{"n": n} for n in range(20)]


def numbers(path, split=None, limit=None, start=0):
    config = DatasetConfig(
        kind="columns", source=str(path), split=split, limit_dataset_samples=limit
    )
    return [row["n"] for row in open_source(config).read(start)]


@pytest.mark.parametrize(
    ("split", "limit", "expected"),
    [
        (None, None, range(20)),
        ("train", 3, range(3)),
        ("train[:5]", None, range(5)),
        ("train[:5]", 3, range(3)),
        ("train[4:]", 3, range(4, 7)),
        ("train[-2:]", None, range(18, 20)),
        ("train[10%:20%]", None, range(2, 4)),
        ("train[:-15]", None, range(5)),
    ],
)
def test_split_and_limit_choose_rows(write_rows, split, limit, expected):
    assert numbers(write_rows(ROWS), split, limit) == list(expected)


def test_reading_may_start_within_a_split(write_rows):
    assert numbers(write_rows(ROWS), "train[5:15]", 6, start=4) == [9, 10]


def test_a_split_that_is_not_understood_is_one_clear_line():
    with pytest.raises(DataError, match=r"train\[:256\]"):
        parse_split("train[5")


def test_json_lists_containers_lines_and_gzip_are_read(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(ROWS))
    (tmp_path / "held.json").write_text(json.dumps({"version": 1, "data": ROWS}))
    (tmp_path / "lines.json").write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    (tmp_path / "one.json").write_text(json.dumps({"n": 7, "messages": [{"role": "user"}]}))
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, ROWS)))
    for name in ("list.json", "held.json", "lines.json", "packed.jsonl.gz"):
        assert numbers(tmp_path / name) == list(range(20)), name
    assert numbers(tmp_path / "one.json") == [7]


def test_parquet_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    assert numbers(tmp_path / "rows.parquet", "train[-3:]") == [17, 18, 19]


def test_a_folder_gives_the_files_that_are_named_after_the_split(tmp_path):
    (tmp_path / "train-00.jsonl").write_text('{"n": 1}\n')
    (tmp_path / "train-01.jsonl").write_text('{"n": 2}\n')
    (tmp_path / "validation.jsonl").write_text('{"n": 3}\n')
    assert numbers(tmp_path, "train") == [1, 2]
    assert numbers(tmp_path, "validation") == [3]
    with pytest.raises(DataError, match="no file for split 'test'"):
        numbers(tmp_path, "test")


def test_a_saved_data_set_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "saved"))
    assert numbers(tmp_path / "saved", "train[2:4]") == [2, 3]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_data_set_of_the_hub_is_read_from_any_row(streamed):
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset.from_list([{"n": n, "text": str(n)} for n in range(250)])
    source, _ = wrap_dataset("hub", found.to_iterable_dataset() if streamed else found)
    assert list(source.read(247)) == [{"n": n, "text": str(n)} for n in range(247, 250)]
    assert [row["n"] for row in source.read(0)] == list(range(250))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/nowhere/rows.jsonl", "no such file or folder"),
        ("delta://table", "Delta tables are not read"),
        ("catalog.schema.table", "Delta tables are not read"),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(source, said):
    with pytest.raises(DataError, match=said):
        numbers(source)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": 1}\n{"n": \n', "rows.jsonl:2: not JSON"),
        ("[1]\n", "rows.jsonl:1: expected an object, found list"),
    ],
)
def test_a_broken_line_is_named(tmp_path, text, said):
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DataError, match=said):
        numbers(tmp_path / "rows.jsonl")


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not UTF-8"):
        numbers(tmp_path / "rows.jsonl")


def test_a_delta_folder_is_refused(tmp_path):
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(DataError, match="export it to parquet or JSONL"):
        numbers(tmp_path)


def test_json_that_is_nested_too_deeply_is_one_clear_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(DataError, match="nested too deeply"):
        list(open_source(DatasetConfig(kind="columns", source=str(path))).read(0))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_an_endless_number_in_a_row_harms_nothing(tmp_path, name):
    row = '{"text": "a", "id": ' + "4" * 6000 + ', "n": ' + "5" * 400 + "}"
    (tmp_path / name).write_text(row if name.endswith("l") else f"[{row}]")
    source = DatasetConfig(kind="columns", source=str(tmp_path / name))
    (found,) = open_source(source).read(0)
    assert found["text"] == "a" and found["id"] == "4" * 6000
