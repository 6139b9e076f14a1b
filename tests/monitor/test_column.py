"""Points of a stream in bounded memory: the curve is the one that a whole log would give."""

from __future__ import annotations

import numpy as np
import pytest

from advisor.monitor.column import RING, SLACK, Column
from advisor.monitor.stream import Stream
from advisor.readers.series import make_series
from advisor.run import Config, Series
from advisor.signals.curves import Curve, curve_of
from advisor.signals.summaries import points_of

Log = list[tuple[int, float]]


def stream_of(log: Log) -> tuple[Stream, Column]:
    stream = Stream(Config())
    for step, value in log:
        stream.add(step, {"loss": value}, step / 1000)
    return stream, stream.columns["loss"]


def whole(log: Log) -> Series:
    steps, values = np.array([float(s) for s, _ in log]), np.array([v for _, v in log])
    made = make_series("train/loss", steps, values, "loss", steps / 1000)
    assert made is not None
    return made


def assert_same(one: Curve, other: Curve) -> None:
    for field in ("steps", "y", "high", "last"):
        assert np.array_equal(getattr(one, field), getattr(other, field)), field
    assert one.epochs is not None and other.epochs is not None
    assert np.array_equal(one.epochs, other.epochs)
    assert (one.points, one.nonfinite, one.bucket) == (other.points, other.nonfinite, other.bucket)


def noisy(count: int, seed: int = 0) -> Log:
    values = 2 + np.random.default_rng(seed).standard_normal(count)
    values[:: max(2, count // 7)] = np.nan
    return list(zip(range(1, count + 1), values.tolist(), strict=True))


@pytest.mark.parametrize("count", [5, 4097, RING + SLACK + 3, 3 * RING + 17])
def test_a_curve_has_the_bits_of_the_whole_log(count: int) -> None:
    log = noisy(count)
    assert_same(stream_of(log)[1].curve("train/loss"), curve_of(whole(log), "train/loss"))


def test_a_step_back_within_the_ring_is_exact() -> None:
    log = noisy(2 * RING)
    last = log[-1][0]
    again = [(s, v + 1) for s, v in log[-RING // 2 :: 3]] + [(last + 5, 1.0), (last + 2, 3.0)]
    assert_same(
        stream_of(log + again)[1].curve("train/loss"), curve_of(whole(log + again), "train/loss")
    )


def test_sums_of_the_points_are_those_of_the_whole_log() -> None:
    log = noisy(2 * RING + 100)
    log[RING : RING + 40] = [(s, 0.0) for s, _ in log[RING : RING + 40]]
    log[-30:] = [(s, np.nan) for s, _ in log[-30:]]
    one, other = stream_of(log)[1].points(), points_of(whole(log))
    for field in ("count", "bad", "zeros", "zero_step", "longest", "bad_tail", "last_step"):
        assert repr(getattr(one, field)) == repr(getattr(other, field)), field
    assert np.array_equal(one.bad_steps, other.bad_steps)


def test_a_step_back_beyond_the_ring_forgets_what_came_after_it() -> None:
    log = noisy(3 * RING)
    column = stream_of([*log, (100, 5.0), (101, 6.0)])[1]
    assert column.curve("train/loss").steps[-1] == 101
    assert column.count < 200


def test_memory_does_not_grow_with_the_log() -> None:
    column = stream_of(noisy(6 * RING))[1]
    assert len(column.steps) < RING + 2 * SLACK
    assert len(column.past.blocks) <= 4 * 4096 + 1
    assert len(column.past.marks) <= 2 * RING


def test_the_lowest_and_highest_points_are_kept_as_they_were() -> None:
    log = noisy(4 * RING)
    log[1000], log[2000] = (1001, -9.5), (2001, 77.25)
    series = stream_of(log)[1].series("train/loss")
    assert series.values[series.steps == 1001] == -9.5
    assert series.values[series.steps == 2001] == 77.25
