"""Runs in which a rule and one that explains it both hold, made of cases of the two.

    python -m tests.suppressions    writes tests/fixtures/suppressions.csv anew (a minute)

A row names a rule, the other one, a case in which each holds, with the rule that it is written
in, and how the two are put together.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advisor.diagnosis import judge
from advisor.errors import RuleError
from advisor.rulebook.cases import run_of
from advisor.rulebook.load import load_full
from advisor.rulebook.rule import Case, Rule, Rulebook
from advisor.signals import View

TABLE = Path(__file__).parent / "fixtures" / "suppressions.csv"
WAYS = ("the other first", "the rule first", "one after the other", "the other after it")


def combined(mine: Case, other: Case, way: str) -> Case:
    """Return a case of both: what only one states is taken from it."""
    first, second = (mine, other) if way in WAYS[1::2] else (other, mine)
    series = {**second.series, **first.series}
    if way in WAYS[2:]:
        both = mine.series.keys() & other.series.keys()
        series |= {name: f"{mine.series[name]} {other.series[name]}" for name in both}
        if way == WAYS[2]:
            series |= {name: f"{other.series[name]} {mine.series[name]}" for name in both}
    return replace(
        first, name="both", series=series, every={**second.every, **first.every},
        config={**second.config, **first.config}, facts={**second.facts, **first.facts},
        events=(*second.events, *first.events), epochs=first.epochs or second.epochs,
    )  # fmt: skip


def holding(rulebook: Rulebook) -> dict[str, list[tuple[str, Case]]]:
    """Return for each rule the cases of all rules in which it holds, its own first."""
    held = defaultdict(list)
    for owner in rulebook:
        for case in owner.cases:
            view = View(run_of(case))
            for rule in rulebook:
                if rule.when and judge(rule, view).value:
                    held[rule.code].append((owner.code, case))
    return {
        code: sorted(cases, key=lambda pair, code=code: pair[0] != code)  # type: ignore[misc]
        for code, cases in held.items()
    }


def find(rule: Rule, other: Rule, held: Mapping[str, list[tuple[str, Case]]]) -> list[str]:
    """Return two cases, with their rules, and a way in which both rules hold; none: nothing."""
    for owner, mine in held.get(rule.code, ()):
        for whose, theirs in held.get(other.code, ()):
            for way in WAYS:
                try:
                    view = View(run_of(combined(mine, theirs, way)))
                except RuleError:
                    continue
                if judge(rule, view).value and judge(other, view).value:
                    return [owner, mine.name, whose, theirs.name, way]
    return []


def main() -> None:
    rulebook = load_full()
    held = holding(rulebook)
    rules = {rule.code: rule for rule in rulebook}
    links = [(rule, rules[code]) for rule in rulebook for code in rule.unless]
    rows = [(a.code, b.code, *row) for a, b in links if (row := find(a, b, held))]
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    print(f"{len(rows)} of {len(links)} links have a run")


if __name__ == "__main__":
    main()
