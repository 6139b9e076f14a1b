"""What the metric stream costs a step: records built, written and flushed, by kind of sink.

    python benchmarks/metrics_overhead.py

Measures CPU seconds, for other work may share the machine. Prints a table and writes it to
benchmarks/results/metrics_overhead.md.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from train.clock import HostClock
from train.config.types import TrackingConfig
from train.metrics.files import JsonLines
from train.metrics.records import EventRecord
from train.metrics.sinks import Console, Fan, Sink
from train.metrics.trackers import About, open_trackers
from train.reporting import Reporter, Timing
from train.schedule import plan_schedule
from train.seeds import seed_step
from train.step import StepResult

STEPS, REPEATS = 2000, 5
RESULT = StepResult(
    loss=1.234567, grad_norm=0.98765, clipped=False, applied=True, tokens=4096, supervised=2048,
    rows=8, samples=8,
)  # fmt: skip
TIMING = Timing(0.5, {"data": 0.01, "forward": 0.15, "backward": 0.3, "optimizer": 0.04})
OUT = Path(__file__).resolve().parent / "results" / "metrics_overhead.md"


class Nothing:
    """A sink that drops everything: what is left is the making of the record."""

    def write(self, record: object) -> None: ...

    def close(self, status: str) -> None: ...


def main() -> None:
    sinks: dict[str, Callable[[Path], Sink]] = {
        "record only": lambda place: Nothing(),
        "JSONL, flushed each step": lambda place: JsonLines(place),
        "console line": lambda place: Console(io.StringIO()),
        "JSONL and console (the default)": lambda place: Fan(
            [JsonLines(place), Console(io.StringIO())]
        ),
        "TensorBoard": lambda place: Fan(
            open_trackers(TrackingConfig(tensorboard={}), About(place, {}))
        ),
    }
    rows = [(name, _per_step(make)) for name, make in sinks.items()]
    rows += [("phase marks of the clock", _clock()), ("seeding the step", _seeding())]
    lines = ["| part | us a step | of a step of 500 ms |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {us:.0f} | {us / 5e5:.4%} |" for name, us in rows]
    table = "\n".join(lines)
    print(table)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(f"# Cost of the metric stream\n\n{table}\n\n{NOTE}")


NOTE = """\
On a GPU the stream adds no synchronisation: the loss and the gradient norm are read together, once
a step, because the update must know whether they are finite; phase times are events in the
device's queue that are only looked at once they have passed.
"""


def _per_step(make: Callable[[Path], Sink]) -> float:
    schedule = plan_schedule(None, 1e-4, STEPS)
    times = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as place:
            sink = make(Path(place))
            report = Reporter(sink=sink, schedule=schedule, device=torch.device("cpu"))
            began = time.process_time()
            for step in range(STEPS):
                report.step(step, 0, RESULT, TIMING)
            times.append((time.process_time() - began) / STEPS)
            sink.write(EventRecord(kind="end", text="", timestamp=0.0, step=0))
            sink.close("finished")
    return 1e6 * statistics.median(times)


def _clock() -> float:
    clock = HostClock()
    began = time.process_time()
    for _ in range(STEPS):
        clock.start()
        for phase in ("data", *["forward", "backward"] * 8, "optimizer"):
            clock.mark(phase)
        clock.take()
    return 1e6 * (time.process_time() - began) / STEPS


def _seeding() -> float:
    began = time.process_time()
    for step in range(STEPS):
        seed_step(42, step)
    return 1e6 * (time.process_time() - began) / STEPS


if __name__ == "__main__":
    main()
