"""What half the points change: logs of ../shared/logs, every second point kept.

python -m benchmarks.accuracy.metamorphic [--logs FOLDER] [--show] [--write]

A log that was written half as often shows the same run. Each readable log of strangers is judged
as it is and with every second point of its series; counted are the runs whose findings of warning
or above name other symptoms, and those where one symptom takes another's place. A lone spike that
stood at a point left out is gone for good. --write puts it into benchmarks/results/metamorphic.md.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from advisor.errors import AdvisorError
from advisor.pipeline import Request, judge_run, load_runs
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Run, Series
from benchmarks.places import RESULTS, SHARED_LOGS

LOGS = SHARED_LOGS
# what is kept, index of the first point kept, whether evaluations are thinned too
WAYS = (
    ("training points 1, 3, 5 ..., all evaluations", 0, False),
    ("training points 2, 4, 6 ..., all evaluations", 1, False),
    ("points 1, 3, 5 ... of all series", 0, True),
    ("points 2, 4, 6 ... of all series", 1, True),
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A run whose symptoms changed: what went and what came."""

    run: str
    lost: frozenset[str]
    new: frozenset[str]

    @property
    def flips(self) -> bool:
        return bool(self.lost and self.new)


def halved(run: Run, first: int = 0, evaluations: bool = False) -> Run:
    """Return the run with every second point of its series from ``first`` on."""
    series = {
        name: each if not evaluations and name.startswith("eval/") else _every_second(each, first)
        for name, each in run.series.items()
    }
    return replace(run, series=series)


def _every_second(series: Series, first: int) -> Series:
    if len(series) < 2:
        return series
    keep = slice(first, None, 2)
    epochs, times = (None if x is None else x[keep] for x in (series.epochs, series.times))
    return replace(
        series, steps=series.steps[keep], values=series.values[keep], epochs=epochs, times=times
    )


def symptoms(run: Run, rulebook: Rulebook) -> frozenset[str]:
    """Return the symptoms that are reported as a warning or an error."""
    report = judge_run(run, rulebook, Request())
    return frozenset(f.symptom for f in report.findings if f.severity != "info")


def changed(
    runs: Sequence[Run], rulebook: Rulebook, first: int = 0, evaluations: bool = False
) -> list[Changed]:
    """Return the runs that are judged otherwise with half of their points."""
    out = []
    for run in runs:
        whole = symptoms(run, rulebook)
        half = symptoms(halved(run, first, evaluations), rulebook)
        if whole != half:
            name = f"{Path(run.path).parent.name}/{Path(run.path).name} {run.id}".strip()
            out.append(Changed(name, whole - half, half - whole))
    return out


def runs_of(logs: Path) -> Iterator[Run]:
    """Read all logs of the index that can be read."""
    with (logs / "index.csv").open() as stream:
        for row in csv.DictReader(stream):
            try:
                yield from load_runs(logs / row["file"], Request())
            except AdvisorError:
                continue


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--logs", type=Path, default=LOGS)
    parser.add_argument("--show", action="store_true", help="list the runs that changed")
    parser.add_argument("--first", type=int, help="only so many of the runs")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    if not (args.logs / "index.csv").exists():
        raise SystemExit(f"{args.logs}: no index.csv there; the logs are not part of the project")
    runs, rulebook = list(islice(runs_of(args.logs), args.first)), load_rules()
    lines = [
        "# Half the points of real logs",
        "",
        f"Made by `python -m benchmarks.accuracy.metamorphic`: {len(runs)} runs of strangers, "
        "judged as they are and with half of their points.",
        "",
        "| kept | runs whose findings change | of all | one symptom for another |",
        "| --- | --- | --- | --- |",
    ]
    for name, first, evaluations in WAYS:
        found = changed(runs, rulebook, first, evaluations)
        flips = sum(each.flips for each in found)
        lines.append(f"| {name} | {len(found)} | {len(found) / len(runs):.1%} | {flips} |")
        if args.show:
            for each in found:
                print(name, each.run, "lost", sorted(each.lost), "new", sorted(each.new), sep="; ")
    text = "\n".join((*lines, ""))
    print(text)
    if args.write:
        (RESULTS / "metamorphic.md").write_text(text)


if __name__ == "__main__":
    main()
