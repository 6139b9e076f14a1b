"""Ours on the labelled real logs in ../shared/logs, with intervals over repositories.

python -m benchmarks.accuracy.real_logs [--repeats 20] [--folds 5] [--show]

Nothing is fitted here: the rules' limits are constants, set with these logs in sight. The folds
show how much the figures vary from one set of repositories to another; only logs that nobody
has looked at can show more. Writes benchmarks/results/real_logs.md.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.ours import Asked, answers
from benchmarks.places import RESULTS, SHARED_LOGS
from benchmarks.scoring import Label, Tally, interval, judge, real_labels, total

FIGURES = {
    "recall": ("hit", "demanded"),
    "precision": ("right", None),
    "alarm_rate": ("alarmed", "quiet"),
}
NAMES = {
    "recall": "recall of `must`",
    "precision": "precision of warnings",
    "alarm_rate": "runs without a `must` alarmed",
}


def by_repository(labels: Mapping[str, Label], each: Mapping[str, Tally]) -> dict[str, Tally]:
    out: dict[str, Tally] = defaultdict(Tally)
    for run, tally in each.items():
        out[labels[run].kind].add(tally)
    return dict(out)


def held_out(repositories: Sequence[Tally], folds: int, repeats: int) -> dict[str, list[float]]:
    """Each figure on each held-out fold of whole repositories, over many random splits."""
    rng = np.random.default_rng(0)
    out: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(repeats):
        order = rng.permutation(len(repositories))
        for fold in np.array_split(order, folds):
            t = total(repositories[i] for i in fold)
            for name in FIGURES:
                value = getattr(t, name)
                if np.isfinite(value):
                    out[name].append(value)
    return out


def figure_rows(repositories: Sequence[Tally], folds: int, repeats: int) -> list[str]:
    everything = total(repositories)
    spread = held_out(repositories, folds, repeats)
    lines = [
        "| figure | all | 95% bootstrap over repositories | held-out folds, mean (5% to 95%) |",
        "| --- | --- | --- | --- |",
    ]
    for name, (part, whole) in FIGURES.items():
        said = everything.right + everything.wrong
        count = f"{getattr(everything, part)}/{getattr(everything, whole) if whole else said}"
        low, high = interval(repositories, name)
        fold = np.array(spread[name] or [np.nan])
        worst, best = np.quantile(fold, [0.05, 0.95])
        lines.append(
            f"| {NAMES[name]} | {getattr(everything, name):.3f} ({count}) "
            f"| {low:.2f} to {high:.2f} | {fold.mean():.3f} ({worst:.2f} to {best:.2f}) |"
        )
    return lines


def symptom_rows(labels: Mapping[str, Label], asked: Mapping[str, Asked]) -> list[str]:
    """Of each demanded entry how often it was found, and of each warning how often it stood."""
    wanted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    for run, label in labels.items():
        for names in label.must:
            one = Label((names,), frozenset(), label.kind, False)
            key = " or ".join(sorted(names))
            wanted[key] += 1
            found[key] += judge(run, one, asked[run].found).hit
    lines = ["| demanded | found |", "| --- | --- |"]
    return lines + [f"| {key} | {found[key]}/{n} |" for key, n in wanted.most_common()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--logs", type=Path, default=SHARED_LOGS)
    parser.add_argument("--first", type=int, help="only so many of the logs")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    if not (args.logs / "labels.jsonl").exists():
        raise SystemExit(
            f"{args.logs}: no labels.jsonl there; the labelled logs are not part of the project"
        )
    labels = dict(list(real_labels(args.logs).items())[: args.first])
    asked = {run: answers(args.logs / run) for run in labels}
    each = {run: judge(run, label, asked[run].found) for run, label in labels.items()}
    unread = [run for run in labels if asked[run].unread]
    repositories = list(by_repository(labels, each).values())
    lines = [
        "# The labelled real logs",
        "",
        (
            f"Made by `python -m benchmarks.accuracy.real_logs`: {len(labels)} scored logs of "
            f"{len(repositories)} repositories, {len(unread)} unread. "
            f"{args.repeats} repeats of {args.folds} folds."
        ),
        "The limits were set with these logs in sight, so the folds show spread, not the future.",
        "",
        *figure_rows(repositories, args.folds, args.repeats),
        "",
        *symptom_rows(labels, asked),
        "",
    ]
    text = "\n".join(lines)
    print(text)
    if args.write:
        (RESULTS / "real_logs.md").write_text(text)
    everything = total(each.values())
    if args.show:
        print(
            "unread",
            *unread,
            "",
            "missed",
            *everything.missed,
            "",
            "false",
            *everything.false,
            sep="\n",
        )


if __name__ == "__main__":
    main()
