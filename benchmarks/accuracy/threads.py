"""Logs pasted into public threads (../shared/logs/threads), beside the cause that was found.

python -m benchmarks.accuracy.threads [--threads FOLDER]

A few lines each: what can be seen in them has to be said, and nothing else. Writes
benchmarks/results/threads.md.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from benchmarks.ours import Asked, answers
from benchmarks.places import RESULTS, SHARED_LOGS

# What a label of the collection looks like in a log; the rest shows in screenshots only.
SIGNS = {
    "zero_loss_nan_grad": {"nonfinite"},
    "zero_train_nan_eval": {"nonfinite", "no_signal"},
    "zero_loss": {"no_signal"},
    "zero_grad_norm": {"no_signal"},
    "nan_loss": {"nonfinite"},
    "diverged_nan_grad": {"nonfinite", "divergence", "numerics"},
    "loss_spikes": {"spikes", "spike"},
    "grad_spike": {"grad_spikes"},
}


def pasted(text: str) -> str:
    """The log within a thread's file."""
    return text.split("--- log", 1)[1].split("\n", 1)[1].split("--- cause ---", 1)[0]


def ask(log: str) -> Asked:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.log"
        path.write_text(log)
        return answers(path)


def place(thread: str) -> str:
    """The thread's public name; a script that was found without its repository has none."""
    _, found, rest = thread.partition("script-not-issue: ")
    if not found:
        return thread
    return f"a script, {rest.partition(' (')[0]} (no public address known)"


def verdict(label: str, asked: Asked) -> str:
    loud = {name for names, severity in asked.found if severity != "info" for name in names}
    signs = SIGNS.get(label, set())
    if loud - signs:
        return "wrong"
    return "named" if loud else "nothing said"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=Path, default=SHARED_LOGS / "threads")
    parser.add_argument("--first", type=int, help="only so many of the threads")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    folder = args.threads
    if not (folder / "index.csv").exists():
        raise SystemExit(f"{folder}: no index.csv there; the threads are not part of the project")
    lines = [
        "# Logs pasted into public threads",
        "",
        "Made by `python -m benchmarks.accuracy.threads`. Many hold fewer than five points; then",
        "a rule that needs more is not judged, which is not the same as fine.",
        "",
        "| thread | label | lines of log | said | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    with (folder / "index.csv").open(newline="") as stream:
        threads = [row for row in csv.DictReader(stream) if row["has_log"] == "True"]
    threads = threads[: args.first]
    for row in threads:
        log = pasted((folder / f"{row['n']}.txt").read_text())
        asked = ask(log)
        said = ", ".join(asked.codes) or "-"
        count = sum(bool(line.strip()) for line in log.splitlines())
        label = row["label"]
        thread = place(row["thread"])
        lines.append(f"| {thread} | {label} | {count} | {said} | {verdict(label, asked)} |")
    text = "\n".join(lines)
    print(text)
    if args.write:
        (RESULTS / "threads.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
