"""How well ours does on generated runs: by kind, by symptom, and on healthy runs and traps.

python -m benchmarks.generated.detection --seeds 0:10 [--files] [--show] [--kinds ...]
python -m benchmarks.generated.detection --seeds 1000:1010 --files   # the quoted figures

Without --files the runs go straight into the diagnosis; with it they are written and read as a
user's would be. Writes benchmarks/results/detection.md for the quoted half.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.generated.generator import KINDS, Case, make, seeds_of, write
from benchmarks.generated.healthy import HEALTHY
from benchmarks.ours import Asked, answers, answers_of_case
from benchmarks.places import RESULTS
from benchmarks.scoring import (
    Label,
    Tally,
    f1,
    group,
    groups,
    interval,
    judge,
    macro_interval,
    macro_recall,
    total,
)


def label_of(case: Case) -> Label:
    must = (groups(case.must),) if case.must else ()
    return Label(must, groups(case.may), case.kind, case.kind in HEALTHY)


def ask(cases: list[Case], files: bool) -> dict[str, Asked]:
    if not files:
        return {f"{c.name}.s{c.seed}": answers_of_case(c) for c in cases}
    with tempfile.TemporaryDirectory() as folder:
        return {f"{c.name}.s{c.seed}": answers(write(c, Path(folder))) for c in cases}


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole}" if whole else "-"


def tables(
    labels: Mapping[str, Label], asked: Mapping[str, Asked], info: bool = False
) -> list[str]:
    """Figures, then one row a kind: found, wrong, and what was said instead."""
    each = {run: judge(run, label, asked[run].found) for run, label in labels.items()}
    kinds = {k: [r for r, label in labels.items() if label.kind == k] for k in KINDS}
    kinds = {k: runs for k, runs in kinds.items() if runs}
    per_kind = {k: total(each[r] for r in runs) for k, runs in kinds.items()}
    healthy = [each[r] for r, label in labels.items() if label.healthy]
    faint = [each[r] for r, label in labels.items() if not label.healthy and not label.must]
    faulty = [each[r] for r, label in labels.items() if label.must]
    everything = total(each.values())
    recall = macro_recall(per_kind.values())
    judged = sum(bool(t.demanded) for t in per_kind.values())
    low, high = macro_interval([[each[r] for r in runs] for runs in kinds.values()])
    lines = [
        "| figure | value | 95% interval |",
        "| --- | --- | --- |",
        f"| macro recall over {judged} kinds | {recall:.3f} | {low:.3f} to {high:.3f} |",
        _figure("recall over runs", faulty, "recall", "hit", "demanded"),
        _figure("healthy runs and traps alarmed", healthy, "alarm_rate", "alarmed", "quiet"),
        _figure(
            "runs with an invisible fault alarmed wrongly", faint, "alarm_rate", "alarmed", "quiet"
        ),
        (
            f"| precision of all warnings | {everything.precision:.3f} "
            f"({everything.right}/{everything.right + everything.wrong}) | |"
        ),
        f"| F1 (macro recall, precision) | {f1(recall, everything.precision):.3f} | |",
        "",
        "| kind | found | wrong or alarmed | warnings said (runs) |",
        "| --- | --- | --- | --- |",
    ]
    for kind, runs in kinds.items():
        said = Counter(code for r in runs for code in set(asked[r].codes))
        words = ", ".join(f"{code} {n}" for code, n in said.most_common(7))
        t = per_kind[kind]
        lines.append(
            f"| {kind} | {_share(t.hit, t.demanded)} | {t.wrong} in {len(runs)} | {words} |"
        )
    return lines


def symptom_table(labels: Mapping[str, Label], asked: Mapping[str, Asked]) -> list[str]:
    """What was demanded against what was said, in runs: the confusion of the symptoms."""
    counts: dict[str, Counter[str]] = {}
    for run, label in labels.items():
        key = (
            "healthy or trap" if label.healthy else " or ".join(sorted(*label.must or [["faint"]]))
        )
        row = counts.setdefault(key, Counter())
        row["runs"] += 1
        said = {
            group(s) for names, severity in asked[run].found if severity != "info" for s in names
        }
        row.update(said or {"nothing"})
    lines = ["| demanded | runs | said |", "| --- | --- | --- |"]
    for key, row in sorted(counts.items()):
        said = ", ".join(f"{name} {n}" for name, n in row.most_common() if name != "runs")
        lines.append(f"| {key} | {row['runs']} | {said} |")
    return lines


def _figure(name: str, tallies: list[Tally], figure: str, part: str, whole: str) -> str:
    if not tallies:
        return f"| {name} | - | |"
    t = total(tallies)
    low, high = interval(tallies, figure)
    return (
        f"| {name} | {getattr(t, figure):.3f} ({getattr(t, part)}/{getattr(t, whole)}) "
        f"| {low:.3f} to {high:.3f} |"
    )


def show(labels: Mapping[str, Label], asked: Mapping[str, Asked], cases: list[Case]) -> None:
    for case in cases:
        run = f"{case.name}.s{case.seed}"
        t = judge(run, labels[run], asked[run].found)
        if t.missed or t.wrong:
            what = "MISSED" if t.missed else "FALSE"
            print(
                f"{what} {run} n={len(case.rows)} amplitude {case.amplitude:.3g} "
                f"must {case.must} may {case.may} got {asked[run].codes}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--show", action="store_true", help="print each miss and false alarm")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    quoted = int(args.seeds.split(":")[0]) >= 1000
    seeds = seeds_of(args.seeds, "quoted" if quoted else "tune")
    cases = [make(kind, seed) for kind in args.kinds for seed in seeds]
    labels = {f"{c.name}.s{c.seed}": label_of(c) for c in cases}
    asked = ask(cases, args.files)
    if args.show:
        show(labels, asked, cases)
    text = "\n".join([*tables(labels, asked), "", *symptom_table(labels, asked)])
    print(text)
    if args.write:
        files = " --files" if args.files else ""
        command = f"python -m benchmarks.generated.detection --seeds {args.seeds}{files} --write"
        made = f"Made by `{command}`."
        head = f"# Detection on generated runs\n\n{made}\n\n"
        (RESULTS / "detection.md").write_text(head + text + "\n")


if __name__ == "__main__":
    main()
