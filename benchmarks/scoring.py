"""Scores of a tool's answers on labelled runs, ours and the peers' alike.

An answer is a list of (symptoms that the tool's name may mean, severity). It hits where one of
them is demanded, and is wrong where none of them is demanded or allowed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# One name each for scoring, and facts that count for nothing: as ../shared/logs/README.md has it.
GROUP = {"spike": "spikes", "slow": "lr_too_low", "underfit": "plateau", "early_plateau": "plateau"}
FACTS = frozenset(
    [
        "config",
        "eval_leak",
        "data_format",
        "numerics",
        "no_eval",
        "converged",
        "memorized",
        "oom",
        "low_utilization",
        "data_stall",
        "resume_jump",
        "forgetting",
        "repetition",
        "clipping",
        "grad_vanishing",
    ]
)
RELATED = {"overfit": {"overfit_onset"}, "overfit_onset": {"overfit"}}
WARNINGS = ("warning", "error", "critical", "fail", "warn")
Answer = tuple[frozenset[str], str]


def group(name: str) -> str:
    return GROUP.get(name, name)


def groups(names: Iterable[str]) -> frozenset[str]:
    return frozenset(group(name) for name in names)


@dataclass(frozen=True, slots=True)
class Label:
    """What has to be said of a run and what may be said."""

    must: tuple[frozenset[str], ...]  # of each entry one name
    may: frozenset[str]
    kind: str  # fault kind, or repository
    healthy: bool  # of a generated run: a healthy kind or trap


@dataclass(slots=True)
class Tally:
    """Counts over runs."""

    hit: int = 0
    demanded: int = 0
    right: int = 0
    wrong: int = 0
    quiet: int = 0  # runs of which nothing is demanded
    alarmed: int = 0
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name in ("hit", "demanded", "right", "wrong", "quiet", "alarmed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.missed += other.missed
        self.false += other.false

    @property
    def recall(self) -> float:
        return self.hit / self.demanded if self.demanded else float("nan")

    @property
    def precision(self) -> float:
        said = self.right + self.wrong
        return self.right / said if said else float("nan")

    @property
    def alarm_rate(self) -> float:
        return self.alarmed / self.quiet if self.quiet else float("nan")


def judge(run: str, label: Label, answers: Sequence[Answer], info: bool = False) -> Tally:
    """Score one run; ``info`` counts answers of every severity."""
    loud = {names for names, severity in answers if info or severity.lower() in WARNINGS}
    said = {groups(names) for names in loud}
    allowed = frozenset().union(label.may, *label.must)
    tally = Tally(demanded=len(label.must))
    for demanded in label.must:
        near = demanded | frozenset().union(*(RELATED.get(x, set()) for x in demanded))
        hit = any(names & near for names in said)
        tally.hit += hit
        if not hit:
            tally.missed.append(run)
    for names in said:
        if names <= FACTS:
            continue
        if names & allowed:
            tally.right += 1
        else:
            tally.wrong += 1
            tally.false.append(f"{run}: {'|'.join(sorted(names))}")
    if not label.must:
        tally.quiet = 1
        tally.alarmed = int(tally.wrong > 0)
    return tally


def generated_labels(root: Path) -> dict[str, Label]:
    """Labels of a folder that the generator has written, by run."""
    from benchmarks.generated.healthy import HEALTHY

    runs = json.loads((root / "labels.json").read_text())["runs"]
    return {
        name: Label(
            must=(groups(row["must_any"]),) if row["must_any"] else (),
            may=groups(row["may"]),
            kind=row["kind"],
            healthy=row["kind"] in HEALTHY,
        )
        for name, row in runs.items()
    }


def real_labels(root: Path) -> dict[str, Label]:
    """Labels of the real logs that count, by file."""
    labels = {}
    for line in (root / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "unscored" in row or row["id"].split("-")[0] in ("wandb", "mlflow"):
            continue
        must = tuple(groups(names) for names in row["must"])
        may = groups([*row["likely"], *row["may"]])
        labels[row["file"]] = Label(must, may, row["repo"], healthy=not must)
    return labels


def total(tallies: Iterable[Tally]) -> Tally:
    out = Tally()
    for tally in tallies:
        out.add(tally)
    return out


def by_kind(labels: Mapping[str, Label], tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    out: dict[str, Tally] = defaultdict(Tally)
    for run, tally in tallies.items():
        out[labels[run].kind].add(tally)
    return dict(out)


def macro_recall(kinds: Iterable[Tally]) -> float:
    """Mean over the kinds of the share that was found."""
    shares = [t.recall for t in kinds if t.demanded]
    return float(np.mean(shares)) if shares else float("nan")


def interval(clusters: Sequence[Tally], figure: str, draws: int = 2000) -> tuple[float, float]:
    """95% bootstrap interval of a Tally property over clusters (repositories or runs)."""
    parts = {
        "recall": ("hit", "demanded"),
        "alarm_rate": ("alarmed", "quiet"),
        "precision": ("right", "wrong"),
    }[figure]
    counts = np.array([[getattr(t, p) for p in parts] for t in clusters], dtype=float)
    if figure == "precision":
        counts[:, 1] += counts[:, 0]
    rng = np.random.default_rng(0)
    picks = rng.integers(len(counts), size=(draws, len(counts)))
    sums = counts[picks].sum(axis=1)
    sums = sums[sums[:, 1] > 0]
    if not len(sums):
        return float("nan"), float("nan")
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)


def macro_interval(kinds: Sequence[Sequence[Tally]], draws: int = 1000) -> tuple[float, float]:
    """95% bootstrap interval of the macro recall, over the runs of each kind."""
    rng = np.random.default_rng(0)
    means = []
    for runs in kinds:
        hits = np.array([t.hit for t in runs if t.demanded], dtype=float)
        if len(hits):
            means.append(hits[rng.integers(len(hits), size=(draws, len(hits)))].mean(axis=1))
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    return float(low), float(high)


def f1(recall: float, precision: float) -> float:
    return 2 * recall * precision / (recall + precision) if recall + precision > 0 else 0.0
