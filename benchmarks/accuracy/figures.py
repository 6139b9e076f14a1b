"""From scored runs to the figures of the accuracy page, as plain data that JSON holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.accuracy import scores as score
from benchmarks.accuracy.causes import equivalents
from benchmarks.accuracy.delay import delays
from benchmarks.accuracy.scores import Pair

Sets = Mapping[str, Sequence[Pair]]
GALLERY = ("gallery tune", "gallery held", "emulated")


def figures(sets: Sets, peers: Mapping[str, Sets], whole: bool) -> dict[str, Any]:
    """All that the page shows; ``whole`` adds what takes long."""
    alone = {name: one_set(pairs) for name, pairs in sets.items()}
    pooled = [pair for name in GALLERY for pair in sets.get(name, ())]
    everyone = [pair for name, pairs in sets.items() if name != "real logs" for pair in pairs]
    return {
        "sets": alone,
        "gallery": causes_and_plan(pooled),
        "alarms": {name: alarms(sets[name]) for name in sets if name != "real logs"},
        "severity": {
            name: {level: [c.right, c.said] for level, c in score.severities(pairs).items()}
            for name, pairs in sets.items()
        },
        "equivalent": equivalents(),
        "all_alarms": alarms(everyone),
        "peers": {
            tool: {name: peer_figures(pairs) for name, pairs in theirs.items()}
            for tool, theirs in {"advise": sets, **peers}.items()
        },
        "delay": delays(pooled) if whole else {},
    }


def one_set(pairs: Sequence[Pair]) -> dict[str, Any]:
    counts = score.symptoms(pairs)
    demanded = {name: c for name, c in counts.items() if c.demanded}
    spans = {name: [rounded(v) for v in span] for name, span in score.f1_intervals(pairs).items()}
    macro = rounded(score.macro_f1(counts))
    return {
        "runs": len(pairs),
        "healthy": sum(run.healthy for run, _ in pairs),
        "faulty": sum(bool(run.must) for run, _ in pairs),
        "invisible": sum(not run.healthy and not run.must for run, _ in pairs),
        "unread": sum(answer.unread for _, answer in pairs),
        "macro": [] if macro is None else [macro, *spans[""]],
        "macro_precision": _mean(c.precision for c in demanded.values() if c.said),
        "macro_recall": _mean(c.recall for c in demanded.values()),
        "recall": [sum(c.hit for c in counts.values()), sum(c.demanded for c in counts.values())],
        "precision": [sum(c.right for c in counts.values()), sum(c.said for c in counts.values())],
        "symptoms": {
            name: {
                "demanded": c.demanded, "hit": c.hit, "said": c.said, "right": c.right,
                "f1": rounded(c.f1),
                "interval": spans.get(name, []),
            }
            for name, c in sorted(counts.items())
            if c.demanded or c.said
        },
        "confusion": {row: dict(columns) for row, columns in score.confusion(pairs).items()},
        "plan_by_fault": _by_fault(pairs),
        **causes_and_plan(pairs),
    }  # fmt: skip


def causes_and_plan(pairs: Sequence[Pair]) -> dict[str, Any]:
    with_cause = [pair for pair in pairs if score.has_cause(pair[0])]
    with_cure = [pair for pair in pairs if score.has_cure(pair[0])]
    return {
        "causes": len(with_cause),
        "top1": measured(with_cause, lambda pair: score.cause_hit(*pair, 1)),
        "top3": measured(with_cause, lambda pair: score.cause_hit(*pair, 3)),
        "by_cause": _by_cause(with_cause),
        "cause_confusion": {k: dict(v) for k, v in score.cause_confusion(with_cause).items()},
        "cures": len(with_cure),
        "plan": measured(with_cure, lambda pair: score.plan_is_right(*pair)),
        "plan_later": measured(with_cure, lambda pair: score.plan_is_right(*pair, later=True)),
    }


def measured(pairs: Sequence[Pair], holds: Callable[[Pair], bool]) -> list[Any]:
    """A share of runs with its interval: value, low, high; nothing where there are no runs."""
    if not pairs:
        return []
    value = sum(holds(pair) for pair in pairs) / len(pairs)
    return [rounded(v) for v in (value, *score.share_interval(pairs, holds))]


def rounded(value: float) -> float | None:
    return None if value != value else round(float(value), 4)


def _mean(values: Iterable[float]) -> float | None:
    each = list(values)
    return rounded(sum(each) / len(each)) if each else None


def _by_cause(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for run, answer in pairs:
        row = table[run.causes[0]]
        row[0] += 1
        row[1] += score.cause_hit(run, answer, 1)
        row[2] += score.cause_hit(run, answer, 3)
    return dict(sorted(table.items()))


def _by_fault(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    table: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for run, answer in pairs:
        if score.has_cure(run):
            table[run.fault][0] += score.plan_is_right(run, answer)
            table[run.fault][1] += 1
    return dict(sorted(table.items()))


def alarms(pairs: Sequence[Pair]) -> dict[str, list[Any]]:
    """Runs alarmed, of how many, and the rate that this leaves possible."""
    kinds = {
        "healthy": [p for p in pairs if p[0].healthy and not p[0].trap],
        "traps": [p for p in pairs if p[0].healthy and p[0].trap],
        "all healthy": [p for p in pairs if p[0].healthy],
        "nothing visible": [p for p in pairs if not p[0].healthy and not p[0].must],
    }
    found = {}
    for name, some in kinds.items():
        hit = sum(score.is_alarmed(run, answer) for run, answer in some)
        found[name] = [hit, len(some), rounded(score.upper_bound(hit, len(some)))]
    return found


def peer_figures(pairs: Sequence[Pair]) -> dict[str, Any]:
    counts = score.symptoms(pairs)
    healthy = [p for p in pairs if (p[0].healthy or (p[0].source == "real" and not p[0].must))]
    return {
        "macro": rounded(score.macro_f1(counts)),
        "recall": [sum(c.hit for c in counts.values()), sum(c.demanded for c in counts.values())],
        "precision": [sum(c.right for c in counts.values()), sum(c.said for c in counts.values())],
        "alarmed": [sum(score.is_alarmed(run, answer) for run, answer in healthy), len(healthy)],
        "unread": sum(answer.unread for _, answer in pairs),
    }
