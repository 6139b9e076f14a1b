"""Whatever was logged is read back: random rows written by each kind of logger."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import AdvisorError
from advisor.readers import read_file
from advisor.run import Run

Row = tuple[int, float, float | None]
Writer = Callable[[Sequence[Row]], bytes]

_ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
_ROWS = st.lists(
    st.tuples(st.integers(1, 50), _ANY, st.one_of(st.none(), _ANY)), min_size=3, max_size=40
)


def rising(rows: Sequence[Row]) -> list[Row]:
    """The rows with steps that rise, as training's do."""
    steps = np.cumsum([row[0] for row in rows]).tolist()
    return [(step, *row[1:]) for step, row in zip(steps, rows, strict=True)]


def _records(rows: Sequence[Row]) -> list[dict[str, float]]:
    full = [{"step": s, "loss": a, "grad_norm": b} for s, a, b in rows]
    return [{k: v for k, v in row.items() if v is not None} for row in full]


def jsonl(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in _records(rows)).encode()


def trainer_state(rows: Sequence[Row]) -> bytes:
    return json.dumps({"log_history": _records(rows), "global_step": rows[-1][0]}).encode()


def comma(rows: Sequence[Row]) -> bytes:
    lines = [f"{s},{a!r},{'' if b is None else repr(b)}" for s, a, b in rows]
    return "\n".join(["step,loss,grad_norm", *lines, ""]).encode()


def console(rows: Sequence[Row]) -> bytes:
    return "".join(f"{row}\n" for row in _records(rows)).encode()


def pairs(rows: Sequence[Row]) -> bytes:
    lines = [
        f"step {s} | loss {a!r}" + ("" if b is None else f" | grad_norm {b!r}") for s, a, b in rows
    ]
    return "".join(f"{line} | lr 0.001\n" for line in lines).encode()


def packed(rows: Sequence[Row]) -> bytes:
    return gzip.compress(jsonl(rows), 1)


WRITERS: dict[str, Writer] = {
    "log.jsonl": jsonl, "trainer_state.json": trainer_state, "log.csv": comma, "log.txt": console,
    "train.log": pairs, "log.jsonl.gz": packed,
}  # fmt: skip


def reads(tmp_path: Path, name: str, data: bytes) -> list[Run]:
    path = tmp_path / name
    path.write_bytes(data)
    return read_file(path)


def _same(run: Run, name: str, wanted: Sequence[tuple[int, float]]) -> None:
    if not wanted:
        assert name not in run.series
        return
    series = run.series[name]
    assert series.steps.tolist() == [step for step, _ in wanted]
    assert np.array_equal(series.values, [value for _, value in wanted], equal_nan=True)


def _read_back(tmp_path: Path, name: str, rows: Sequence[Row]) -> None:
    rows = rising(rows)
    (run,) = reads(tmp_path, name, WRITERS[name](rows))
    _same(run, "train/loss", [(s, a) for s, a, _ in rows])
    _same(run, "train/grad_norm", [(s, b) for s, _, b in rows if b is not None])


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=_ROWS)
def test_what_was_logged_is_read_back(tmp_path: Path, name: str, rows: Sequence[Row]) -> None:
    _read_back(tmp_path, name, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=_ROWS)
def test_what_was_logged_is_read_back_often(tmp_path: Path, name: str, rows: Sequence[Row]) -> None:
    _read_back(tmp_path, name, rows)


def _sound(run: Run) -> None:
    for series in run.series.values():
        assert series.steps.shape == series.values.shape
        assert bool((np.diff(series.steps) > 0).all())
        assert len(series)


def runs_or_error(tmp_path: Path, name: str, data: bytes) -> list[Run]:
    try:
        runs = reads(tmp_path, name, data)
    except AdvisorError as error:
        assert "\n" not in str(error)
        return []
    for run in runs:
        _sound(run)
    assert all(run.series or run.events for run in runs)
    return runs


@pytest.mark.parametrize("name", [*WRITERS, "events.out.tfevents.1"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=300))
def test_any_bytes_give_runs_or_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    runs_or_error(tmp_path, name, data)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A log with its tail cut off, bits turned over, or something strange put in."""
    data = bytearray(WRITERS[name](rising(draw(_ROWS))))
    kind = draw(st.sampled_from(("cut", "flip", "insert", "encode")))
    at = draw(st.integers(0, len(data)))
    if kind == "cut":
        return bytes(data[:at])
    if kind == "flip":
        for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=5)):
            data[place] ^= 1 << draw(st.integers(0, 7))
        return bytes(data)
    if kind == "encode":
        encoding = draw(st.sampled_from(("utf-16", "utf-16-be", "utf-32", "utf-8-sig")))
        return bytes(data).decode("latin-1").encode(encoding)
    strange = (b"\0", b"\xff", b"\xed\xa0\x80", b'"\\ud800"', b"[" * 3000, b"9" * 500, b"1e400",
               b"x" * 200_000, b"\n\n", b"\r", b"\x1b[2J", b"{'loss': ")  # fmt: skip
    return bytes(data[:at]) + draw(st.sampled_from(strange)) + bytes(data[at:])


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_log_gives_runs_or_one_line(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    runs_or_error(tmp_path, name, data.draw(damaged(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_log_gives_runs_or_one_line_often(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    runs_or_error(tmp_path, name, data.draw(damaged(name)))


@pytest.mark.parametrize("name", ["log.jsonl", "log.csv", "train.log", "trainer_state.json"])
def test_a_cut_tail_loses_the_last_point_only(tmp_path: Path, name: str) -> None:
    rows = [(i, 3.0 - i / 64, 1.0) for i in range(1, 60)]
    whole = WRITERS[name](rows)
    for end in range(len(whole) - 300, len(whole)):
        for run in runs_or_error(tmp_path, name, whole[:end]):
            loss = run.series["train/loss"]
            known = {step: value for step, value, _ in rows}
            for step, value in zip(loss.steps[:-1].tolist(), loss.values[:-1], strict=True):
                assert math.isclose(known[step], value)
