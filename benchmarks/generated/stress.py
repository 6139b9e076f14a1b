"""The second set of synthetic runs: do the rules hold for forms that they were not set on?

python -m benchmarks.generated.stress --seeds 0:20 [--show] [--kinds ...]   # while working
python -m benchmarks.generated.stress --seeds 1000:1020                     # quoted figures

Runs go straight into the diagnosis. Writes benchmarks/results/stress.md for the quoted half.
"""

from __future__ import annotations

import argparse
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.generated.generator import seeds_of
from benchmarks.generated.stress_curves import Draft
from benchmarks.generated.stress_healthy import HEALTHY
from benchmarks.generated.stress_kinds import FAULTS
from benchmarks.ours import Asked, judge_runs
from benchmarks.places import RESULTS
from benchmarks.scoring import Label, Tally, groups, interval, judge, macro_recall, total

if TYPE_CHECKING:
    from advisor.run import Run

KINDS = {**FAULTS, **HEALTHY}


def run_of(name: str, d: Draft) -> Run:
    """The Run of a Draft, as a reader would give it."""
    from advisor.run import Run, Series

    steps = np.arange(1, d.n + 1, dtype=np.int64) * d.every
    epochs = d.t * d.epochs
    columns = {"train/loss": (steps, d.loss, epochs)}
    if d.lr is not None:
        columns["train/lr"] = (steps, d.lr, epochs)
    if d.grad is not None:
        columns["train/grad_norm"] = (steps, d.grad, epochs)
    if len(d.eval_at):
        columns["eval/loss"] = (steps[d.eval_at], d.eval_loss, epochs[d.eval_at])
    series = {key: Series(key, *column) for key, column in columns.items()}
    return Run(name, "jsonl", series)


def make(kind: str, seed: int) -> tuple[Run, Label]:
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed, 7])
    d, must, may = KINDS[kind](rng)
    label = Label((groups(must),) if must else (), groups(may), kind, kind in HEALTHY)
    return run_of(kind, d), label


def row(kind: str, tallies: Sequence[Tally], asked: Sequence[Asked]) -> str:
    t = total(tallies)
    said = Counter(code for a in asked for code in set(a.codes))
    words = ", ".join(f"{code} {n}" for code, n in said.most_common(6))
    found = f"{t.hit}/{t.demanded}" if t.demanded else "-"
    return f"| {kind} | {found} | {sum(bool(t.wrong) for t in tallies)}/{len(tallies)} | {words} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", default="0:20")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--show", action="store_true", help="print each miss and false alarm")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    quoted = int(args.seeds.split(":")[0]) >= 1000
    seeds = seeds_of(args.seeds, "quoted" if quoted else "tune")
    each: dict[str, list[Tally]] = {}
    rows: list[str] = []
    for kind in args.kinds:
        asked = []
        for seed in seeds:
            run, label = make(kind, seed)
            asked.append(judge_runs([run]))
            tally = judge(f"{kind}.s{seed}", label, asked[-1].found)
            each.setdefault(kind, []).append(tally)
            if args.show and (tally.missed or tally.wrong):
                what = "MISSED" if tally.missed else "FALSE"
                points = len(run.series["train/loss"])
                print(what, f"{kind}.s{seed}", f"n={points}", asked[-1].codes)
        rows.append(row(kind, each[kind], asked))
    text = "\n".join(["| kind | found | runs with a wrong warning | warnings (runs) |",
                      "| --- | --- | --- | --- |", *rows, "", *figures(each)])  # fmt: skip
    print(text)
    if args.write:
        made = f"Made by `python -m benchmarks.generated.stress --seeds {args.seeds} --write`."
        head = f"# Other forms than the generator's\n\n{made}\n\n"
        (RESULTS / "stress.md").write_text(head + text + "\n")


def figures(each: dict[str, list[Tally]]) -> list[str]:
    faults = [t for k, tallies in each.items() if k in FAULTS for t in tallies]
    healthy = [t for k, tallies in each.items() if k in HEALTHY for t in tallies]
    lines = ["| figure | value | 95% interval |", "| --- | --- | --- |"]
    if faults:
        macro = macro_recall(total(each[k]) for k in each if k in FAULTS)
        low, high = interval(faults, "recall")
        lines.append(f"| macro recall of faults | {macro:.3f} | {low:.3f} to {high:.3f} |")
        low, high = interval(faults, "precision")
        value = total(faults).precision
        lines.append(f"| precision on faulty runs | {value:.3f} | {low:.3f} to {high:.3f} |")
    if healthy:
        t = total(healthy)
        low, high = interval(healthy, "alarm_rate")
        lines.append(
            f"| healthy runs alarmed | {t.alarm_rate:.3f} ({t.alarmed}/{t.quiet}) "
            f"| {low:.3f} to {high:.3f} |"
        )
    return lines


if __name__ == "__main__":
    main()
