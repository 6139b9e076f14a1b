"""Event files: both styles of scalars, restarts, cut tails, checksums, and hostile bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import ReadError
from advisor.readers import tensorboard
from advisor.readers.options import ReadOptions
from advisor.readers.tfrecord import masked_crc

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "formats" / "tensorboard"


def _varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _part(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _record(data: bytes) -> bytes:
    head = struct.pack("<Q", len(data))
    crcs = struct.pack("<I", masked_crc(head)), struct.pack("<I", masked_crc(data))
    return head + crcs[0] + data + crcs[1]


def _event(step: int, values: bytes, wall: float = 1.7e9) -> bytes:
    stated = b"\x10" + _varint(step) if step else b""  # step 0 is left out, as writers do
    return _record(b"\x09" + struct.pack("<d", wall + step) + stated + _part(5, values))


def _old(tag: str, value: float) -> bytes:
    return _part(1, _part(1, tag.encode()) + b"\x15" + struct.pack("<f", value))


def _new(tag: str, kind: int, body: bytes, plugin: str = "scalars") -> bytes:
    tensor = b"\x08" + _varint(kind) + _part(2, b"") + body
    return _part(1, _part(1, tag.encode()) + _part(8, tensor) + _part(9, _part(1, plugin.encode())))


VERSION = _record(b"\x09" + struct.pack("<d", 1.7e9) + _part(3, b"brain.Event:2"))


def _write(path: Path, *events: bytes) -> Path:
    path.write_bytes(VERSION + b"".join(events))
    return path


def _losses(count: int, first: int = 0, tag: str = "train/loss") -> list[bytes]:
    return [_event(step, _old(tag, 1 / (step + 1))) for step in range(first, first + count)]


def test_the_checksum_is_the_known_one() -> None:
    plain = 0xE3069283  # of the standard check string
    rotated = (plain >> 15 | plain << 17) & 0xFFFFFFFF
    assert masked_crc(b"123456789") == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_simple_values_with_step_zero_and_wall_times(tmp_path: Path) -> None:
    run = tensorboard.read(_write(tmp_path / "events", *_losses(300)))[0]
    series = run.series["train/loss"]
    assert series.steps.tolist() == list(range(300))
    assert np.allclose(series.values, np.float32(1 / np.arange(1, 301)))
    assert series.times is not None and series.times[5] == 1.7e9 + 5


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (1, _part(5, struct.pack("<f", 0.5))),
        (1, _part(4, struct.pack("<f", 0.5))),
        (2, _part(6, struct.pack("<d", 0.5))),
        (2, _part(4, struct.pack("<d", 0.5))),
        (19, _part(4, struct.pack("<e", 0.5))),
        (19, _part(13, _varint(0x3800))),
        (1, b"\x2d" + struct.pack("<f", 0.5)),
    ],
)
@pytest.mark.parametrize("count", [3, 200])
def test_tensors_of_one_number_in_every_style(
    tmp_path: Path, kind: int, body: bytes, count: int
) -> None:
    events = [_event(step, _new("loss", kind, body)) for step in range(count)]
    run = tensorboard.read(_write(tmp_path / "events", *events))[0]
    assert run.series["train/loss"].values.tolist() == [0.5] * count


def test_whole_numbers_as_tensors(tmp_path: Path) -> None:
    events = [_event(i, _new("loss", 9, _part(10, _varint(-i)))) for i in range(1, 40)]
    run = tensorboard.read(_write(tmp_path / "events", *events))[0]
    assert run.series["train/loss"].values.tolist() == [-float(i) for i in range(1, 40)]


def test_several_tags_with_tags_of_one_length_and_negative_steps(tmp_path: Path) -> None:
    events = []
    for step in range(-50, 400):
        for name in ("loss", "aaaa", "bbbb"):
            events.append(_event(step, _old(name, step + len(name) + ord(name[0]))))
    series = tensorboard.read(_write(tmp_path / "events", *events))[0].series
    for name in ("aaaa", "bbbb"):
        one = series[f"train/{name}"]
        assert one.steps.tolist() == list(range(-50, 400))
        assert one.values.tolist() == [s + 4 + ord(name[0]) for s in range(-50, 400)]


def test_several_values_in_one_record(tmp_path: Path) -> None:
    events = [_event(s, _old("loss", s) + _old("grad_norm", 2 * s)) for s in range(100)]
    series = tensorboard.read(_write(tmp_path / "events", *events))[0].series
    assert series["train/grad_norm"].values.tolist() == [2.0 * s for s in range(100)]


def test_other_plugins_are_skipped(tmp_path: Path) -> None:
    text = _event(0, _new("args/text_summary", 7, _part(8, b"lr: 1"), "text"))
    histogram = _event(1, _part(1, _part(1, b"weights") + _part(5, b"\x00" * 30)))
    run = tensorboard.read(_write(tmp_path / "events", text, histogram, *_losses(5)))[0]
    assert set(run.series) == {"train/loss"}


def test_a_cut_tail_is_read_up_to_there(tmp_path: Path) -> None:
    whole = VERSION + b"".join(_losses(50))
    for missing in (1, 3, 20, 40):
        path = tmp_path / "events"
        path.write_bytes(whole[:-missing])
        run = tensorboard.read(path)[0]
        assert len(run.series["train/loss"]) == 49
        assert any("ends within" in note for note in run.notes)


def test_a_damaged_length_ends_the_reading(tmp_path: Path) -> None:
    events = _losses(60)
    events[40] = b"\xff" + events[40][1:]
    run = tensorboard.read(_write(tmp_path / "events", *events))[0]
    assert len(run.series["train/loss"]) == 40
    assert any("damaged length" in note for note in run.notes)


def test_a_record_that_fails_its_checksum_is_left_out(tmp_path: Path) -> None:
    events = _losses(60)
    events[40] = events[40][:30] + bytes([events[40][30] ^ 4]) + events[40][31:]
    run = tensorboard.read(_write(tmp_path / "events", *events))[0]
    assert 40 not in run.series["train/loss"].steps
    assert len(run.series["train/loss"]) == 59
    assert any("checksum" in note for note in run.notes)


def test_a_restart_wins_from_its_first_step_on(tmp_path: Path) -> None:
    _write(tmp_path / "events.out.tfevents.1700000000.a", *_losses(100))
    later = [_event(s, _old("train/loss", 7.0)) for s in range(60, 90)]
    _write(tmp_path / "events.out.tfevents.1700009000.a", *later)
    run = tensorboard.read(tmp_path)[0]
    series = run.series["train/loss"]
    assert series.steps.tolist() == list(range(90))
    assert (series.values[60:] == 7.0).all()
    assert [event.step for event in run.events] == [60]


def test_files_of_different_tags_are_joined(tmp_path: Path) -> None:
    _write(tmp_path / "events.out.tfevents.1700000000.a", *_losses(20))
    _write(tmp_path / "events.out.tfevents.1700000001.a", *_losses(5, 10, "eval/loss"))
    run = tensorboard.read(tmp_path)[0]
    assert len(run.series["train/loss"]) == 20
    assert len(run.series["eval/loss"]) == 5
    assert not run.events


def test_tags_map_and_steps_cut(tmp_path: Path) -> None:
    path = _write(tmp_path / "events", *_losses(20, tag="my/own"))
    run = tensorboard.read(path, ReadOptions({"train/loss": "my/own"}, (5, 9)))[0]
    assert run.series["train/loss"].steps.tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(ReadError, match="no column"):
        tensorboard.read(path, ReadOptions({"train/loss": "other"}))


def test_sniff_looks_at_the_record_and_not_the_name(tmp_path: Path) -> None:
    path = _write(tmp_path / "whatever.txt", *_losses(2))
    assert tensorboard.sniff(path, path.read_bytes()[:4096])
    assert not tensorboard.sniff(tmp_path / "events.out.tfevents.1", b"brain.Event:2 is a text")


def test_a_file_without_scalars_is_a_read_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no scalar"):
        tensorboard.read(_write(tmp_path / "events"))
    with pytest.raises(ReadError, match="no event file"):
        tensorboard.read(tmp_path / "..", ReadOptions())


def test_the_fixture_reads() -> None:
    run = tensorboard.read(FIXTURES / "trainer.tfevents")[0]
    assert {"train/loss", "train/lr", "eval/loss"} <= set(run.series)
    assert run.series["train/loss"].epochs is not None


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    content=st.binary(max_size=300),
    flips=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4),
    kind=st.sampled_from(["bytes", "mutated", "wrapped"]),
)
def test_any_bytes_give_runs_or_a_read_error(
    tmp_path: Path, content: bytes, flips: list[tuple[int, int]], kind: str
) -> None:
    data = bytearray(VERSION + b"".join(_losses(30)))
    for at, byte in flips:
        data[at % len(data)] = byte
    path = tmp_path / "events"
    wrapped = VERSION + _record(content) + b"".join(_losses(30)) + _record(content) * 30
    path.write_bytes({"bytes": content, "mutated": bytes(data), "wrapped": wrapped}[kind])
    tensorboard.sniff(path, content)
    try:
        runs = tensorboard.read(path)
    except ReadError:
        return
    assert runs[0].series
