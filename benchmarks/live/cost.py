"""What a Monitor costs: microseconds for a logged point, and memory over very long runs.

python -m benchmarks.live.cost [--points 10000000] [--only cost|memory]

CPU time of `observe` for runs of 100 to 100,000 rows of loss, gradient norm, learning rate
and epoch, with 20 evaluations, and no time passing between rows: the least that is granted for
looks. Memory is that of a run of loss and gradient norm. Writes benchmarks/results/live_cost.md;
with --only, the other half of it stays as it is.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advisor.monitor import Monitor
from advisor.rulebook.load import load_rules
from benchmarks.places import RESULTS

LENGTHS = (100, 1_000, 2_000, 4_000, 10_000, 100_000)
RESULT = RESULTS / "live_cost.md"
CHUNK = 50_000
MEMORY = "## Memory"


def feed(monitor: Monitor, points: int, seed: int = 0) -> float:
    """Feed a healthy run; return CPU seconds."""
    rng = np.random.default_rng(seed)
    spent = 0.0
    for start in range(0, points, CHUNK):
        t = np.arange(start, min(points, start + CHUNK))
        losses = (1 + 2 * np.exp(-4 * t / points) + 0.1 * rng.standard_normal(t.size)).tolist()
        norms = np.exp(0.3 * rng.standard_normal(t.size)).tolist()
        rates = (1e-4 * (1 - t / points)).tolist()
        begun = time.process_time()
        for i, loss, norm, rate in zip(t.tolist(), losses, norms, rates, strict=True):
            monitor.observe(
                i + 1, loss=loss, grad_norm=norm, learning_rate=rate, epoch=3 * i / points
            )
            if i % (points // 20) == points // 40:
                monitor.observe(i + 1, eval_loss=1.05 * loss, epoch=3 * i / points)
        spent += time.process_time() - begun
    return spent


def cost(lengths: Sequence[int]) -> list[str]:
    """The table of costs."""
    lines = [
        "| rows | us a row | CPU seconds | findings() at the end, ms |",
        "| --- | --- | --- | --- |",
    ]
    feed(fresh(1000), 1000)  # imports and caches
    for points in lengths:
        monitor = fresh(points)
        spent = feed(monitor, points)
        begun = time.process_time()
        monitor.findings()
        asked = 1000 * (time.process_time() - begun)
        lines.append(f"| {points:,} | {spent / points * 1e6:.1f} | {spent:.2f} | {asked:.0f} |")
        print(lines[-1], flush=True)
    return lines


def memory(points: int) -> list[str]:
    """The table of memory along one very long run."""
    lines = ["| rows | MB of the process |", "| --- | --- |"]
    monitor, rng = fresh(points), np.random.default_rng(0)
    for start in range(0, points, CHUNK):
        t = np.arange(start, start + CHUNK)
        losses = (1 + 2 * np.exp(-4 * t / points) + 0.1 * rng.standard_normal(t.size)).tolist()
        norms = np.exp(0.3 * rng.standard_normal(t.size)).tolist()
        for i, loss, norm in zip(t.tolist(), losses, norms, strict=True):
            monitor.observe(i + 1, loss=loss, grad_norm=norm)
        if start == 0 or (start + CHUNK) % max(CHUNK, points // 10) == 0:
            lines.append(f"| {start + CHUNK:,} | {in_use():.0f} |")
            print(lines[-1], flush=True)
    return lines


def in_use() -> float:
    """Megabytes of this process right now; the most so far where that is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / 1e6


def fresh(points: int) -> Monitor:
    return Monitor(rulebook=load_rules(), facts={"max_steps": points}, clock=lambda: 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--points", type=int, default=10_000_000, help="of the memory test")
    parser.add_argument("--only", choices=("cost", "memory"))
    parser.add_argument("--write", action="store_true", help="put it into results/")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    args = parser.parse_args()
    known = RESULT.read_text() if RESULT.exists() else ""
    before, _, after = known.partition(MEMORY)
    if args.only != "memory":
        head = [
            "# What a Monitor costs",
            "",
            "Made by `python -m benchmarks.live.cost --write`.",
            "",
            "CPU time of one thread, no time between rows; goal: 50 us amortised for a logged row.",
            "",
        ]
        before = "\n".join([*head, *cost(args.lengths), "", ""])
    if args.only != "cost":
        after = "\n".join(["", "", *memory(args.points), ""])
    if args.write:
        RESULT.write_text(f"{before}{MEMORY}{after}")


if __name__ == "__main__":
    main()
