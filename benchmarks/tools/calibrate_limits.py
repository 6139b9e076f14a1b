"""How much each limit matters: every limit of every rule moved by a quarter, either way.

All signals of a run are measured once; only the rule whose limit moves is judged again, so that
hundreds of limits cost a minute. A move is also tried as a choice: taken where it makes more runs
right on all architectures and data sets but one, and scored on that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.answers import Answer, Said
from benchmarks.accuracy.runs import Labelled
from benchmarks.accuracy.scores import is_alarmed, loud, macro_f1, near, symptoms

if TYPE_CHECKING:
    from advisor.rulebook.rule import Rule
    from advisor.signals import View

MOVES = {"-25%": 0.75, "+25%": 1.25}
SHOWN = 15


@dataclass(frozen=True, slots=True)
class Kept:
    """A run with its measured signals and the answer of each rule."""

    run: Labelled
    view: View
    values: dict[str, bool | None]


def sensitivity(runs: Sequence[Labelled]) -> dict[str, Any]:
    """The most influential limits, and what choosing limits anew would have given."""
    from advisor.rulebook.load import load_rules

    rules = {rule.code: rule for rule in load_rules() if not rule.waits_for}
    kept = [item for run in runs if (item := keep(run, rules)) is not None]
    answers = [answer_of(item.values, rules) for item in kept]
    base = macro_f1(symptoms(zip((k.run for k in kept), answers, strict=True)))
    right = [is_whole(k.run, a) for k, a in zip(kept, answers, strict=True)]
    rows, gains = [], {}
    for rule, name, move, moved in variants(rules):
        changed = {i: again for i, k in enumerate(kept)
                   if (again := answered(k, moved, rules)) is not None}  # fmt: skip
        if not changed:
            continue
        now = [changed.get(i, a) for i, a in enumerate(answers)]
        score = macro_f1(symptoms(zip((k.run for k in kept), now, strict=True)))
        gains[rule.code, name, move] = {
            i: is_whole(kept[i].run, a) - right[i] for i, a in changed.items()
        }
        rows.append([rule.code, name, rule.limits[name], move, round(score - base, 4),
                     sum(gains[rule.code, name, move].values()), len(changed)])  # fmt: skip
    rows.sort(key=lambda row: (-abs(row[4]), -row[6]))
    return {
        "runs": len(kept), "base": round(base, 4), "right": sum(right), "tried": len(rows),
        "limits": sum(len(rule.limits) for rule in rules.values()),
        "rows": rows[:SHOWN],
        "chosen": chosen([fold_of(k.run) for k in kept], gains),
    }  # fmt: skip


def keep(labelled: Labelled, rules: Mapping[str, Rule]) -> Kept | None:
    from advisor.config.attach import attach_config
    from advisor.diagnosis import judge
    from advisor.errors import AdvisorError
    from advisor.readers.discover import read_runs
    from advisor.signals import View

    try:
        run = attach_config(read_runs(labelled.path)[0], labelled.path, {})
    except (AdvisorError, IndexError):
        return None
    view = View(run)
    return Kept(labelled, view, {code: judge(rule, view).value for code, rule in rules.items()})


def variants(rules: Mapping[str, Rule]) -> Iterator[tuple[Rule, str, str, Rule]]:
    for rule in rules.values():
        for name, value in rule.limits.items():
            for move, factor in MOVES.items():
                if value and rule.severity != "info":
                    yield (
                        rule,
                        name,
                        move,
                        replace(rule, limits={**rule.limits, name: value * factor}),
                    )


def answered(item: Kept, rule: Rule, rules: Mapping[str, Rule]) -> Answer | None:
    """The answer with one rule judged anew; None where its verdict stays."""
    from advisor.diagnosis import judge

    value = judge(rule, item.view).value
    if bool(value) == bool(item.values[rule.code]):
        return None
    return answer_of({**item.values, rule.code: value}, rules)


def answer_of(values: Mapping[str, bool | None], rules: Mapping[str, Rule]) -> Answer:
    """What is said, after the rules have silenced each other."""
    from advisor.diagnosis import explain

    fired = {code: rules[code] for code, value in values.items() if value}
    explained = explain(fired)
    return Answer(tuple(Said(r.code, frozenset({r.symptom}), r.severity)
                        for code, r in fired.items() if code not in explained))  # fmt: skip


def is_whole(run: Labelled, answer: Answer) -> bool:
    """All that is demanded is said, and nothing that is wrong."""
    words = {name for said in loud(answer) for name in near(said.symptoms)}
    return all(words & near(entry) for entry in run.must) and not is_alarmed(run, answer)


def fold_of(run: Labelled) -> str:
    return f"{run.arch}/{run.data}" if run.arch else "generated"


def chosen(
    folds: Sequence[str], gains: Mapping[tuple[str, str, str], Mapping[int, int]]
) -> dict[str, Any]:
    """Take the best single move of all folds but one, and score it on that one."""
    table: dict[str, Any] = {}
    for fold in sorted(set(folds)):
        inside: dict[tuple[str, str, str], int] = defaultdict(int)
        outside: dict[tuple[str, str, str], int] = defaultdict(int)
        for move, each in gains.items():
            for i, gain in each.items():
                (inside if folds[i] == fold else outside)[move] += gain
        best = max(outside, key=lambda move: outside[move], default=None)
        if best is not None and outside[best] > 0:
            table[fold] = [" ".join(best), outside[best], inside[best]]
        else:
            table[fold] = ["none", 0, 0]
    return table
