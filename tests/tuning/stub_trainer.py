"""A trainer that trains nothing: loss curves simulated from the config, in a log that readers know.

The loss falls towards a floor at a pace that grows with the rate, up to the rate at which it
diverges; the lowest floor is at ``lr = 1e-3``. Every end of a run is counted in ``done.txt`` beside
the run's folder, so that a test can tell whether one was run twice.

    stub_trainer.py CONFIG OUTPUT [--seconds S [--at-once N]] [--fail TEXT] [--oom-above N]
                    [--tokens N]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

STEPS, BEST, DIVERGES = 120, 1e-3, 0.05


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("config", type=Path)
    words.add_argument("output", type=Path)
    words.add_argument("--seconds", type=float, default=0.0)
    words.add_argument("--at-once", type=int, default=0, help="steps that take no time")
    words.add_argument("--fail", default="")
    words.add_argument("--oom-above", type=int, default=0)
    words.add_argument("--tokens", type=int, default=0, help="logged, of each step")
    given = words.parse_args()
    config = json.loads(given.config.read_text())
    rate = float(config["learning_rate"])
    if given.oom_above and config["per_device_train_batch_size"] > given.oom_above:
        print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
        return 1
    if given.fail:
        print(given.fail)
        return 3
    given.output.mkdir(parents=True, exist_ok=True)
    pause = given.seconds / STEPS
    with (given.output / "log.jsonl").open("w") as log:
        for row in rows(rate, int(config.get("seed", 0))):
            seen = {"num_input_tokens_seen": given.tokens * row["step"]} if given.tokens else {}
            log.write(json.dumps({**row, **seen}) + "\n")
            log.flush()
            time.sleep(pause if row["step"] > given.at_once else 0)
    with (given.output.parent / "done.txt").open("a") as file:
        file.write("done\n")
    return 0


def rows(rate: float, seed: int) -> list[dict[str, float]]:
    """Return the log of a run at a rate."""
    noise = random.Random(seed)
    found = []
    floor = 1.0 + 0.02 * math.log10(rate / BEST) ** 2
    loss = 4.0
    for step in range(1, STEPS + 1):
        warm = min(1.0, step / 10)
        lr = rate * warm * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        if rate > DIVERGES and step > 15:
            loss = min(loss * 1.12, 11.0)
        else:
            pace = 0.12 * min(1.0, rate / BEST) * warm
            loss = floor + (loss - floor) * (1 - pace)
        row = {"step": step, "loss": loss * (1 + 0.01 * noise.gauss(0, 1)), "lr": lr,
               "grad_norm": 1.0 + 0.1 * noise.random()}  # fmt: skip
        found.append(row)
        if step % 10 == 0:
            found.append({"step": step, "eval_loss": loss * (1 + 0.002 * noise.gauss(0, 1)) + 0.02})
    return found


if __name__ == "__main__":
    sys.exit(main())
