"""CPU seconds to read one million TensorBoard points: ours beside EventAccumulator.

Prints a markdown table. Run: python -m benchmarks.speed.tensorboard_read [--points N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.places import environment
from benchmarks.speed.events import write_events

TAGS = ("train/loss", "train/grad_norm", "train/learning_rate", "train/epoch")

OURS = """
import resource, sys, time
begin = time.process_time()
from pathlib import Path
from advisor.readers import tensorboard
ready = time.process_time()
run = tensorboard.read(Path(sys.argv[1]))[0]
series = run.series["train/loss"]
print(ready - begin, time.process_time() - ready, len(series), float(series.values[-1]),
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
THEIRS = """
import resource, sys, time
begin = time.process_time()
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
ready = time.process_time()
read = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
read.Reload()
points = read.Scalars("train/loss")
print(ready - begin, time.process_time() - ready, len(points), points[-1].value,
      resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write_log(path: Path, points: int) -> None:
    """Write a file as a trainer would: four tags a step, one record each."""
    values = np.random.default_rng(1).normal(size=(points // len(TAGS), len(TAGS)))
    write_events(path, dict(zip(TAGS, values.T, strict=True)))


def measure(code: str, path: Path) -> list[float]:
    """Import seconds, read seconds, points, last value, MiB of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.out.tfevents.1700000000.bench"
        write_log(path, options.points)
        size = path.stat().st_size / 1e6
        ours = sorted(measure(OURS, path) for _ in range(options.repeat))
        theirs = measure(THEIRS, path)
    best = sorted(row[1] for row in ours)[len(ours) // 2]
    assert ours[0][2:4] == theirs[2:4], "the readers disagree"
    print(f"{options.points:,} points, {size:.0f} MB, CPU seconds (ours: median of {len(ours)})\n")
    print("| reader | import | read | times faster | MiB |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| EventAccumulator | {theirs[0]:.2f} | {theirs[1]:.2f} | 1.0 | {theirs[4]:.0f} |")
    print(
        f"| finetune-advisor | {ours[0][0]:.2f} | {best:.2f} | {theirs[1] / best:.1f} |"
        f" {ours[0][4]:.0f} |"
    )


if __name__ == "__main__":
    main()
