"""Asks one peer inside its own environment: one JSON line a log, as it goes.

    python benchmarks/peers/worker.py TOOL LIST OUT

It is started as a file, for the peer's environment knows neither this package nor numpy.
Every adapter calls what the peer's command line calls, without the cost of starting it.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

Found = list[tuple[str, str]]
LIMIT_SECONDS = 20


def losslint(path: Path) -> Found:
    from losslint.checks import CheckOptions, run_all_checks
    from losslint.parsing import load_run

    return [(f.check, f.severity) for f in run_all_checks(load_run(path), CheckOptions())]


def runmedic(path: Path) -> Found:
    from runmedic import loaders, roles
    from runmedic.checks import run_checks

    runs = loaders.load(str(path))
    if not runs:
        raise ValueError("no training metrics found")
    return [(f.check, f.severity) for run in runs for f in run_checks(run, roles.detect(run))]


def ftdoctor(path: Path) -> Found:
    from ftdoctor.diagnosis import diagnose
    from ftdoctor.history import from_trainer_state, load

    if path.suffix == ".jsonl":  # not its format; wrapped, so that it can be judged at all
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        history = from_trainer_state({"log_history": rows})
    else:
        history = load(str(path))
    return [(f.check, f.severity.name.lower()) for f in diagnose(history).findings]


def trainspotter(path: Path) -> Found:
    from trainspotter.detectors import run_all
    from trainspotter.readers import load_run

    run = load_run(path.parent if "tfevents" in path.name else path)
    if not run.metric_names():
        raise ValueError("no numeric metrics found")
    return [(f.title, f.severity) for f in run_all(run)]


def trainproof(path: Path) -> Found:
    from trainproof.epoch import check_epoch

    quiet = ("PASS", "NOT-CHECKED")
    findings = check_epoch(str(path))["findings"]
    if any(f["id"] == "TP-NO-RECORDS" for f in findings):
        raise ValueError("no records")
    return [(f["id"], f["level"].lower()) for f in findings if f["level"] not in quiet]


def gradsnitch(path: Path) -> Found:
    import gradsnitch
    import pandas as pd

    if path.suffix == ".csv":
        return [(f.code, f.severity) for f in gradsnitch.lint_csv(str(path))]
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    else:
        rows = json.loads(path.read_text())["log_history"]
    # one row a step: validation stands in the row of the training loss that it follows
    frame = pd.DataFrame([row for row in rows if "train_runtime" not in row])
    frame = frame.groupby("step", as_index=False, sort=True).first()
    frame = frame.dropna(subset=["loss"]) if _is_padded(frame, rows) else frame
    return [(f.code, f.severity) for f in gradsnitch.lint(frame)]


def _is_padded(frame: object, rows: list[dict[str, object]]) -> bool:
    """Steps with a validation only leave holes in the loss that are not NaN losses."""
    logged = [row["loss"] for row in rows if "loss" in row]
    return not any(isinstance(v, float) and math.isnan(v) for v in logged)


TOOLS: dict[str, Callable[[Path], Found]] = {
    f.__name__: f for f in (losslint, runmedic, ftdoctor, trainspotter, trainproof, gradsnitch)
}


def _stop(*_: object) -> None:
    raise TimeoutError(f"over {LIMIT_SECONDS} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tool", choices=list(TOOLS))
    parser.add_argument("listing", type=Path, help="a line a log: its name, a tab, its path")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _stop)
    with asked.out.open("a") as stream:
        for line in asked.listing.read_text().splitlines():
            name, path = line.split("\t")
            began = time.process_time()
            found: Found = []
            error = ""
            signal.alarm(LIMIT_SECONDS)
            try:
                found = TOOLS[asked.tool](Path(path))
            except Exception as fault:
                error = f"{type(fault).__name__}: {fault}"[:200]
            signal.alarm(0)
            seconds = round(time.process_time() - began, 4)
            row = {"run": name, "found": found, "error": error, "seconds": seconds}
            stream.write(json.dumps(row) + "\n")
            stream.flush()


if __name__ == "__main__":
    main()
