"""Phases of a step on a host and on a device's queue; random numbers of a step."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from train.clock import PHASES, DeviceClock, HostClock  # noqa: E402
from train.device import is_out_of_memory, peak_of  # noqa: E402
from train.seeds import seed_step  # noqa: E402


class Queue:
    """A device that works off its queue later than the host fills it."""

    def __init__(self) -> None:
        self.recorded: list[Event] = []
        self.passed = 0

    def event(self) -> Event:
        return Event(self)


@dataclass
class Event:
    """Like torch.cuda.Event; the device reaches the n-th event at n milliseconds."""

    queue: Queue
    at: int = -1

    def record(self) -> None:
        self.at = len(self.queue.recorded)
        self.queue.recorded.append(self)

    def query(self) -> bool:
        return self.at < self.queue.passed

    def elapsed_time(self, end: object, /) -> float:
        assert isinstance(end, Event)
        assert end.query(), "reading an event that has not passed would wait for the device"
        return float(end.at - self.at)


def test_a_host_clock_gives_all_its_time_to_phases() -> None:
    clock = HostClock()
    clock.start()
    clock.mark("data")
    clock.mark("forward")
    spent = clock.take()
    assert tuple(spent) == PHASES
    assert spent["data"] > 0
    assert spent["optimizer"] == 0
    assert clock.take()["data"] == 0


def test_a_device_clock_never_waits_and_counts_the_rest_to_the_next_step() -> None:
    queue = Queue()
    clock = DeviceClock(queue.event)
    clock.start()
    for phase in PHASES:
        clock.mark(phase)
    queue.passed = 4  # the optimiser still runs
    assert clock.take() == {"data": 0.001, "forward": 0.001, "backward": 0.001, "optimizer": 0}
    queue.passed = 5
    assert clock.take() == {"data": 0, "forward": 0, "backward": 0, "optimizer": 0.001}


def test_random_numbers_of_a_step_depend_on_seed_step_and_rank_alone() -> None:
    def draw(seed: int, step: int, rank: int = 0) -> tuple[float, float, float]:
        seed_step(seed, step, rank)
        return random.random(), float(np.random.random()), float(torch.rand(()))

    first = draw(1, 5)
    draw(1, 6)
    assert draw(1, 5) == first
    others = {draw(2, 5), draw(1, 6), draw(1, 5, 1), draw(1, -1)}
    assert len(others) == 4
    assert first not in others


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_known_in_all_its_forms(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_errors_are_not_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_the_peak_of_a_device_is_known_by_its_name() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("Some new card") is None
