"""What we say of the gallery's runs, beside their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.findings import Report
from advisor.pipeline import Request, check_paths
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook

Row = Mapping[str, Any]
ONE_NAME = ({"spike", "spikes"}, {"slow", "lr_too_low"}, {"plateau", "underfit", "early_plateau"},
            {"overfit", "overfit_onset"})  # fmt: skip
# Facts about settings and the log: they accuse no curve, and count neither way.
FACTS = frozenset(["config", "no_eval", "converged", "memorized"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one run was judged."""

    row: Row
    said: frozenset[str]
    missed: tuple[tuple[str, ...], ...]
    wrong: frozenset[str]

    @property
    def right(self) -> bool:
        return not self.missed and not self.wrong


def judge(row: Row, said: Iterable[str]) -> Verdict:
    """Compare the symptoms of warnings and errors with a label."""
    loud = frozenset(said)
    near = {name: {name}.union(*(group for group in ONE_NAME if name in group)) for name in loud}
    found = set().union(*near.values()) if near else set()
    missed = tuple(tuple(group) for group in row["must"] if not found & set(group))
    allowed = {name for group in row["must"] for name in group} | set(row["may"])
    wrong = {name for name in loud - FACTS if not near[name] & allowed}
    return Verdict(row, loud, missed, frozenset(wrong))


def report_of(path: Path, rules: Rulebook | None = None) -> Report | str:
    """The one report of a run, or why there is none."""
    reports, failures = check_paths([path], rules or load_rules(), Request())
    if failures or len(reports) != 1:
        return "; ".join(failure.message for failure in failures) or f"{len(reports)} runs"
    return reports[0]


def loud(report: Report) -> list[str]:
    return [finding.symptom for finding in report.findings if finding.severity != "info"]


def show(rows: list[Row], runs: Path, each: bool) -> None:
    """Print the share that is right, by split, and every run that is not."""
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    rules = load_rules()
    for row in rows:
        report = report_of(runs / row["id"], rules)
        if isinstance(report, str):
            print(f"{row['id']}: {report}")
        verdict = judge(row, () if isinstance(report, str) else loud(report))
        verdicts[row["split"]].append(verdict)
        if each or not verdict.right:
            print(_line(verdict))
    for split, judged in sorted(verdicts.items()):
        quiet = [v for v in judged if v.row["healthy"]]
        faulty = [v for v in judged if v.row["visible"]]
        print(
            f"{split}: {sum(v.right for v in judged)} of {len(judged)} right; "
            f"{sum(not v.missed for v in faulty)} of {len(faulty)} visible faults found; "
            f"{sum(bool(v.wrong) for v in quiet)} of {len(quiet)} healthy runs alarmed"
        )


def _line(verdict: Verdict) -> str:
    row = verdict.row
    wanted = " + ".join("|".join(group) for group in verdict.missed)
    return (
        f"{'right' if verdict.right else 'WRONG'} [{row['split']}] {row['id']} ({row['outcome']}): "
        f"said {','.join(sorted(verdict.said)) or 'nothing'}"
        + (f"; missed {wanted}" if wanted else "")
        + (f"; false {','.join(sorted(verdict.wrong))}" if verdict.wrong else "")
    )
