"""What a Monitor costs: microseconds for a logged point, and memory over very long runs.

python benchmarks/live_cost.py [--points 10000000]

CPU time of `observe` for runs of 1,000 to 1,000,000 rows of loss, gradient norm, learning rate
and epoch, with an evaluation now and then, and no time passing between rows: the least that is
granted for looks. Writes benchmarks/results/live_cost.md.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from advisor.monitor import Monitor
from advisor.rulebook import load_rules

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
RESULT = Path(__file__).resolve().parent / "results" / "live_cost.md"
CHUNK = 50_000


def feed(monitor: Monitor, points: int, seed: int = 0) -> tuple[float, list[tuple[int, float]]]:
    """Feed a healthy run; return CPU seconds, and megabytes in use along the way."""
    rng = np.random.default_rng(seed)
    spent, memory = 0.0, []
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
        memory.append((int(t[-1]) + 1, in_use()))
    return spent, memory


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
    args = parser.parse_args()
    lines = [
        "# What a Monitor costs",
        "",
        "CPU time of one thread, no time between rows; goal: 50 us amortised for a logged point.",
        "",
        "| rows | us a row | CPU seconds | findings() at the end, ms |",
        "| --- | --- | --- | --- |",
    ]
    feed(fresh(1000), 1000)  # imports and caches
    for points in LENGTHS:
        monitor = fresh(points)
        spent, _ = feed(monitor, points)
        begun = time.process_time()
        monitor.findings()
        asked = 1000 * (time.process_time() - begun)
        lines.append(f"| {points:,} | {spent / points * 1e6:.1f} | {spent:.2f} | {asked:.0f} |")
        print(lines[-1], flush=True)
    lines += ["", "## Memory", "", "| rows | MB of the process |", "| --- | --- |"]
    _, memory = feed(fresh(args.points), args.points)
    marks = [m for m in memory if m[0] % (args.points // 10) == 0 or m is memory[0]]
    lines += [f"| {rows:,} | {used:.0f} |" for rows, used in marks]
    print("\n".join(lines[-len(marks) :]))
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
