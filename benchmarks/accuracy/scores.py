"""How answers are scored against labels: symptoms, causes, plans, alarms. Pure counting.

Names that mean one thing count as one (`scoring.GROUP`). An answer at warning or above is right
where the label demands or allows one of its names, and wrong elsewhere; remarks never count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.answers import Answer, Move, Said
from benchmarks.accuracy.causes import same_cure
from benchmarks.accuracy.runs import Cure, Labelled
from benchmarks.scoring import RELATED, WARNINGS, f1, group

Pair = tuple[Labelled, Answer]
# Statements about a setting are true whatever the curves do; on a healthy run they are alarms.
OF_SETTINGS = frozenset({"config", "no_eval", "clipping"})


@dataclass(slots=True)
class Count:
    """How often one symptom was demanded and found, said and right."""

    demanded: int = 0
    hit: int = 0
    said: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        return self.hit / self.demanded if self.demanded else float("nan")

    @property
    def precision(self) -> float:
        return self.right / self.said if self.said else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; a symptom that is never rightly said is worth nothing."""
        return f1(self.recall, self.precision) if self.hit else 0.0


def loud(answer: Answer) -> list[Said]:
    return [s for s in answer.said if s.severity in WARNINGS]


def near(names: Iterable[str]) -> set[str]:
    """The names in one word each, with what may stand for them."""
    grouped = {group(name) for name in names}
    return grouped.union(*(RELATED.get(name, set()) for name in grouped))


def is_right(said: Said, run: Labelled) -> bool | None:
    """Whether a warning is asked for or allowed; None where the labels say nothing of it."""
    names = {group(name) for name in said.symptoms}
    allowed = near(name for names in run.must for name in names) | {group(n) for n in run.may}
    if names & allowed:
        return True
    if said.symptoms <= run.unscored or (names <= OF_SETTINGS and not run.healthy):
        return None
    return False


def is_alarmed(run: Labelled, answer: Answer) -> bool:
    return any(is_right(s, run) is False for s in loud(answer))


def symptoms(pairs: Iterable[Pair]) -> dict[str, Count]:
    """Counts by symptom: an entry of `must` belongs to its first name."""
    counts: dict[str, Count] = defaultdict(Count)
    for run, answer in pairs:
        words = {group(name) for s in loud(answer) for name in s.symptoms}
        for entry in run.must:
            count = counts[group(entry[0])]
            count.demanded += 1
            count.hit += bool(words & near(entry))
        # one name a run: two rules that say the same are one warning
        for said in {s.symptoms: s for s in loud(answer)}.values():
            right = is_right(said, run)
            if right is not None:
                count = counts[credited(said, run)]
                count.said += 1
                count.right += right
    return dict(counts)


def credited(said: Said, run: Labelled) -> str:
    """The one name that a warning is booked under: of the entry that it answers, else its own."""
    names = {group(name) for name in said.symptoms}
    met = next((entry for entry in run.must if names & near(entry)), None)
    if met:
        return group(met[0])
    allowed = sorted(names & {group(name) for name in run.may})
    return (allowed or sorted(names))[0]


def macro_f1(counts: Mapping[str, Count]) -> float:
    """Mean over the symptoms that are demanded at least once."""
    each = [c.f1 for c in counts.values() if c.demanded]
    return float(np.mean(each)) if each else float("nan")


def draws_of(families: Sequence[str], counts: np.ndarray, draws: int = 1000) -> np.ndarray:
    """Sums of counts over families drawn at random, each with all its runs: (draws, ...)."""
    names = {name: i for i, name in enumerate(dict.fromkeys(families))}
    sums = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(sums, [names[name] for name in families], counts)
    rng = np.random.default_rng(0)
    picks = rng.multinomial(len(names), [1 / len(names)] * len(names), size=draws)
    return np.tensordot(picks, sums, axes=1)


def bounds(values: np.ndarray) -> tuple[float, float]:
    """The middle 95% of what is known."""
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def share_interval(pairs: Sequence[Pair], holds: Callable[[Pair], bool]) -> tuple[float, float]:
    """95% bootstrap interval of the share of runs that something holds for."""
    counts = np.array([[holds(pair), 1] for pair in pairs], dtype=float)
    sums = draws_of([run.family for run, _ in pairs], counts)
    return bounds(sums[:, 0] / sums[:, 1])


def f1_intervals(pairs: Sequence[Pair]) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals of the F1 of each demanded symptom; their mean's under ''."""
    names = sorted(name for name, count in symptoms(pairs).items() if count.demanded)
    if not names:
        return {}
    table = np.zeros((len(pairs), len(names), 4))
    for i, pair in enumerate(pairs):
        counts = symptoms([pair])
        for k, name in enumerate(names):
            c = counts.get(name, Count())
            table[i, k] = c.demanded, c.hit, c.said, c.right
    drawn = draws_of([run.family for run, _ in pairs], table)
    demanded, hit, said, right = np.moveaxis(drawn, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = hit / demanded, right / said
        each = np.nan_to_num(2 * recall * precision / (recall + precision))
    each[demanded == 0] = np.nan
    found = {name: bounds(each[:, k]) for k, name in enumerate(names)}
    wanted = np.isfinite(each)
    means = np.nansum(each, axis=1) / np.maximum(wanted.sum(axis=1), 1)
    found[""] = bounds(np.where(wanted.any(axis=1), means, np.nan))
    return found


def confusion(pairs: Iterable[Pair]) -> dict[str, Counter[str]]:
    """Rows: what is demanded. Columns: what is said, in runs."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for run, answer in pairs:
        words = {credited(s, run) for s in loud(answer)}
        rows = {group(entry[0]) for entry in run.must}
        rows = rows or {"(healthy)" if run.healthy else "(nothing demanded)"}
        for row in rows:
            table[row]["runs"] += 1
            table[row].update(words or {"(silent)"})
    return dict(table)


def ranked_causes(answer: Answer) -> list[str]:
    """Causes as a reader meets them: down the report, of each finding the likeliest first.

    The first finding gives its best, then each other finding that warns, then the rest.
    """
    findings = [s.causes for s in answer.said if s.causes]
    return list(dict.fromkeys(cause for causes in findings for cause in causes))


def cause_hit(run: Labelled, answer: Answer, top: int) -> bool:
    """Whether one of the first causes is the run's, or is mended by the same change."""
    first = ranked_causes(answer)[:top]
    return any(same_cure(said, true) for said in first for true in run.causes)


def has_cause(run: Labelled) -> bool:
    return bool(run.causes and run.must)


def cause_confusion(pairs: Iterable[Pair]) -> dict[str, Counter[str]]:
    """Rows: the true cause. Columns: the first cause said, equivalent ones under the true name."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for run, answer in pairs:
        if has_cause(run):
            first = next(iter(ranked_causes(answer)), "(none)")
            same = next((true for true in run.causes if same_cure(first, true)), None)
            table[run.causes[0]][run.causes[0] if same else first] += 1
    return dict(table)


def cures(move: Move, cure: Cure) -> bool:
    """Whether a move of the plan is the cure: the same key, the same way."""
    if move.direction == "advice":  # in words, of the key or its section: where no value is owed
        named = f"{cure.key}.".startswith(f"{move.key}.")
        return named and cure.direction == "set" and cure.value is None
    if move.key != cure.key:
        return False
    if cure.direction == "set":
        return move.direction != "remove" and cure.value in (None, move.value)
    return move.direction == cure.direction


def harms(move: Move, cure: Cure) -> bool:
    """Whether it moves the cure's key the other way."""
    return move.key == cure.key and {move.direction, cure.direction} == {"up", "down"}


def has_cure(run: Labelled) -> bool:
    return bool(run.cures and run.must)


def plan_is_right(run: Labelled, answer: Answer, later: bool = False) -> bool:
    """Whether the next run's plan holds one of the cures and turns none the wrong way."""
    moves = [m for m in answer.moves if later or not m.later]
    cured = any(cures(m, c) for m in moves for c in run.cures)
    keys = {c.key for m in moves for c in run.cures if cures(m, c)}
    return cured and not any(harms(m, c) for m in moves for c in run.cures if c.key not in keys)


def upper_bound(alarmed: int, runs: int) -> float:
    """One-sided 95% upper bound of a rate (3/n where none was seen: the rule of three)."""
    from scipy.stats import beta

    if not runs:
        return float("nan")
    return float(beta.ppf(0.95, alarmed + 1, runs - alarmed)) if alarmed < runs else 1.0


def severities(pairs: Iterable[Pair]) -> dict[str, Count]:
    """How often the findings of each severity are right; only ours have several."""
    counts: dict[str, Count] = defaultdict(Count)
    for run, answer in pairs:
        for said in answer.said:
            right = is_right(said, run)
            if right is not None:
                counts[said.severity].said += 1
                counts[said.severity].right += right
    return dict(counts)
