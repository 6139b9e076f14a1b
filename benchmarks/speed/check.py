"""Whole-process CPU seconds and peak memory of `advise check`, beside two peers, in one run.

python -m benchmarks.speed.check [--rows 1000000] [--repeat 3] [--formats jsonl csv ...]
    [--without-peers]

Builds logs of a million rows in benchmarks/cache/speed/ (kept), and a small one of 200 rows.
The figures are user plus system seconds of the child process and its peak resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.places import CACHE, RESULTS, environment
from benchmarks.speed.events import write_events

FILES = {
    "jsonl": "metrics.jsonl",
    "csv": "metrics.csv",
    "trainer_state": "trainer_state.json",
    "tensorboard": "events.out.tfevents.1700000000.host",
}
LIMIT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cost:
    """What one child process took; ``status`` is its exit status or 'timeout'."""

    seconds: float
    mebibytes: float
    status: str


def columns(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    work = np.linspace(0, 1, rows)
    loss = (0.9 + 1.2 * np.exp(-6 * work)) * (1 + 0.03 * rng.standard_normal(rows))
    grad = 0.8 * np.exp(0.2 * rng.standard_normal(rows))
    return loss, grad, 2e-4 * 0.5 * (1 + np.cos(np.pi * work))


def build(folder: Path, name: str, rows: int) -> Path:
    """Write one log unless it is there."""
    path = folder / f"{name}-{rows}" / FILES[name]
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    loss, grad, rate = columns(rows)
    part = path.with_suffix(".part")
    if name == "tensorboard":
        write_events(part, {"train/loss": loss}, first=1)
    else:
        triples = zip(loss.tolist(), grad.tolist(), rate.tolist(), strict=True)
        with part.open("w") as stream:
            _write_text(stream, name, triples, rows)
    part.rename(path)
    return path


def _write_text(stream, name: str, triples, rows: int) -> None:  # type: ignore[no-untyped-def]
    if name == "csv":
        stream.write("step,epoch,loss,grad_norm,learning_rate\n")
    if name == "trainer_state":
        stream.write(
            f'{{"best_metric": null, "epoch": 3.0, "global_step": {rows}, "log_history": [\n'
        )
    for i, (loss, grad, rate) in enumerate(triples, 1):
        epoch = 3 * i / rows
        if name == "csv":
            stream.write(f"{i},{epoch:.6f},{loss:.6f},{grad:.6f},{rate:.6e}\n")
            continue
        row = json.dumps(
            {
                "epoch": round(epoch, 6),
                "grad_norm": grad,
                "learning_rate": rate,
                "loss": round(loss, 4),
                "step": i,
            }
        )
        stream.write(row + ("\n" if name == "jsonl" or i == rows else ",\n"))
    if name == "trainer_state":
        stream.write(f'], "max_steps": {rows}, "num_train_epochs": 3}}\n')


def run(command: list[str]) -> Cost:
    """Run a command alone and take its own resource use."""
    env = environment(OPENBLAS_NUM_THREADS="1", PYTHONWARNINGS="ignore")
    # a process between, so that the peak is this command's and not an earlier one's
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            done = subprocess.run(
                command,
                env=env,
                timeout=LIMIT_SECONDS,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            status = str(done.returncode)
        except subprocess.TimeoutExpired:
            status = "timeout"
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        line = json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status])
        os.write(write, line.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        seconds, peak, status = json.loads(stream.read())
    os.waitpid(child, 0)
    return Cost(seconds, peak, status)


def commands(path: Path, with_peers: bool) -> dict[str, list[str]]:
    ours = Path(sys.executable).parent / "advise"
    base = [str(ours)] if ours.exists() else [sys.executable, "-m", "advisor"]
    out = {"ours": [*base, "check", str(path), "--format", "json", "--exit-zero"]}
    if with_peers:
        for tool, verb in (
            ("losslint", ["check", "--format", "json"]),
            ("runmedic", ["diagnose", "--json"]),
        ):
            program = CACHE / f"venv-{tool}" / "bin" / tool
            if program.exists():
                out[tool] = [str(program), verb[0], str(path), *verb[1:]]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--formats", nargs="*", default=list(FILES), choices=list(FILES))
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--build", help="only write this log")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    if args.build:
        build(CACHE / "speed", args.build, args.rows)
        return
    lines = [
        "# Speed: whole process, median",
        "",
        f"Made by `python -m benchmarks.speed.check --repeat {args.repeat} --write`, one thread.",
        "",
        "| log | tool | CPU seconds | peak MiB | times ours | status |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rows, formats in ((200, ["trainer_state"]), (args.rows, args.formats)):
        for name in formats:
            # in a process of its own: a child inherits the peak of the one it is forked from
            words = ["-m", "benchmarks.speed.check", "--build", name, "--rows", str(rows)]
            subprocess.run([sys.executable, *words], env=environment(), check=True)
            path = build(CACHE / "speed", name, rows)
            ours = 0.0
            for tool, command in commands(path, not args.without_peers).items():
                costs = [
                    run(command)
                    for _ in range(args.repeat if tool == "ours" else max(1, args.repeat // 3))
                ]
                seconds = statistics.median(c.seconds for c in costs)
                worked = costs[-1].status == "0"
                ours = seconds if tool == "ours" and worked else ours
                times = f"{seconds / ours:.1f}" if ours and worked else "-"
                peak = max(c.mebibytes for c in costs)
                lines.append(
                    f"| {name}, {rows:,} rows | {tool} | {seconds:.2f} | {peak:.0f} "
                    f"| {times} | {costs[-1].status} |"
                )
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if args.write:
        (RESULTS / "speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
