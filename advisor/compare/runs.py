"""Comparison of several runs: losses at the same steps, what differs, and which one to pick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.compare.differences import Difference, explain_void, find_differences, value_of
from advisor.compare.loss_table import FLOOR, Contestant, LossRow, align_losses, contestant_of, thin
from advisor.findings import Evidence, Finding
from advisor.rulebook.rule import CONFIDENCES, Rulebook
from advisor.run import Run
from advisor.signals.robust import successive_noise

CLEAR = 2.0  # noises by which a difference is clear, about a 95% level
REACHES = 0.5  # of the longest run: shorter runs do not limit the step of the comparison
AS_LONG = 0.95  # of another run's steps: counts as equally long
SEED_RULE = "LT010"


@dataclass(frozen=True, slots=True)
class Pick:
    """The run to pick: the one with the lowest loss, or the cheapest of those within noise."""

    index: int | None  # of the runs; None: no pick
    why: str
    step: int | None = None  # where the runs were compared
    value: float | None = None  # loss of the picked run there
    margin: float | None = None  # loss of the second-best run minus the best
    noise: float | None = None  # of that margin
    clear: bool = False  # whether the margin is beyond the noise


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a comparison of runs shows."""

    series: str  # "eval/loss" or "train/loss"
    contestants: tuple[Contestant, ...]
    rows: tuple[LossRow, ...]
    pick: Pick
    differs: tuple[Difference, ...] = ()
    findings: tuple[Finding, ...] = ()
    void: str = ""  # why the losses cannot be compared, '' where they can
    notes: tuple[str, ...] = ()


def compare(runs: Sequence[Run], rulebook: Rulebook) -> Comparison:
    """Return the comparison of at least two runs."""
    series = "eval/loss" if any(_has_finite(run, "eval/loss") for run in runs) else "train/loss"
    labels = labels_of(runs)
    contestants = tuple(contestant_of(r, n, series) for r, n in zip(runs, labels, strict=True))
    grid = align_losses(contestants, series)
    differs = find_differences(runs)
    void = explain_void(differs)
    pick = _pick(contestants, grid, series) if not void else Pick(None, f"no pick: {void}")
    return Comparison(
        series,
        contestants,
        thin(grid, pick.step),
        pick,
        differs,
        find_seed_differences(runs, labels, rulebook),
        void,
        _list_notes(contestants, differs, series),
    )


def labels_of(runs: Sequence[Run]) -> list[str]:
    """Return short, distinct names for the runs: the parts of their paths that differ."""
    paths = [Path(run.path) for run in runs]
    folders = [path.parent if path.suffix else path for path in paths]
    logs_apart = len({(f, run.id) for f, run in zip(folders, runs, strict=True)}) < len(runs)
    parts = [path.parts for path in (paths if logs_apart else folders)]
    for end in (-1, 0):  # drop what all share at the end, then what all share at the beginning
        while all(len(p) > 1 for p in parts) and len({p[end] for p in parts}) == 1:
            parts = [p[:-1] if end else p[1:] for p in parts]
    labels = ["/".join(p) or "." for p in parts]
    return [
        f"{label} {run.id}".strip() if labels.count(label) > 1 else label
        for label, run in zip(labels, runs, strict=True)
    ]


def _has_finite(run: Run, name: str) -> bool:
    series = run.series.get(name)
    return series is not None and bool(np.isfinite(series.values).any())


def _pick(contestants: Sequence[Contestant], rows: Sequence[LossRow], series: str) -> Pick:
    """Return the run with the lowest loss at the last step shared by all runs of similar length."""
    other = any(c.run.facts.get("objective", "sft") != "sft" for c in contestants)
    if other and series == "train/loss":
        return Pick(None, "no pick: the training loss of this objective says nothing about rank")
    if series == "eval/loss" and _end_apart_on_purpose(contestants):
        return _pick_by_lowest(contestants, rows)
    ends = [float(c.steps[-1]) if c.steps.size else 0.0 for c in contestants]
    long = [i for i, end in enumerate(ends) if end and end >= REACHES * max(ends)]
    shared = [row for row in rows if all(row.cells[i].value is not None for i in long)]
    if len(long) < 2 and series == "eval/loss":
        return _pick_by_lowest(contestants, rows)
    if len(long) < 2 or not shared:
        return Pick(None, "no pick: the runs share no step")
    row = shared[-1]
    values = {i: float(row.cells[i].value or 0.0) for i in long}
    alive = sorted((v, i) for i, v in values.items() if math.isfinite(v))
    if not alive:
        return Pick(None, "no pick: no run has a finite loss at its end")
    if len(alive) == 1:
        value, index = alive[0]
        why = f"{contestants[index].label}: the only one with a finite loss at step {row.step}"
        return Pick(index, why, row.step, value, clear=True)
    return _judge(contestants, alive, row.step, shared)


def _end_apart_on_purpose(contestants: Sequence[Contestant]) -> bool:
    """Return whether runs of different lengths all reached their planned ends.

    Then each has its own schedule: at the same step one is done and another halfway.
    """
    ranked = [c for c in contestants if c.steps.size]
    ends = [_find_end(c.run) for c in ranked]
    if len(ranked) < 2 or min(ends) >= AS_LONG * max(ends):
        return False
    return all(ended_as_planned(c.run) for c in ranked)


def ended_as_planned(run: Run) -> bool:
    """Return whether a run took all its planned steps; ``max_steps`` counts as a plan."""
    planned = run.facts.get("total_steps", run.facts.get("max_steps"))
    if isinstance(planned, int | float) and planned > 0:
        return _find_end(run) >= AS_LONG * planned
    return "train_runtime" in run.facts


def _find_end(run: Run) -> float:
    reached = run.facts.get("global_step")
    ends = [float(s.steps[-1]) for s in run.series.values() if len(s)]
    return max([*ends, float(reached) if isinstance(reached, int) else 0.0], default=0.0)


def _pick_by_lowest(contestants: Sequence[Contestant], rows: Sequence[LossRow]) -> Pick:
    """Return the pick among runs of different lengths: by each one's lowest validation loss."""
    lows = [
        float(np.nanmin(c.values)) if np.isfinite(c.values).any() else math.inf for c in contestants
    ]
    alive = sorted((low, i) for i, low in enumerate(lows) if math.isfinite(low))
    if len(alive) < 2:
        return Pick(None, "no pick: the runs share no step")
    best = contestants[alive[0][1]]
    step = int(best.steps[int(np.nanargmin(best.values))])
    pick = _judge(contestants, alive, step, rows, by_length=True)
    if pick.index is not None and not pick.clear:
        chosen = contestants[pick.index]
        pick = replace(pick, step=int(chosen.steps[int(np.nanargmin(chosen.values))]))
    return replace(pick, why=f"lengths differ, so by the lowest that each reached: {pick.why}")


def _measure_noise_between(
    contestants: Sequence[Contestant], i: int, j: int, rows: Sequence[LossRow]
) -> float:
    """Return the noise of the difference between two runs.

    From the row-by-row differences, where the shape that both curves share cancels out.
    """
    apart = math.hypot(contestants[i].noise, contestants[j].noise)
    pairs = [(row.cells[i].value, row.cells[j].value) for row in rows]
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None])
    gaps = gaps[np.isfinite(gaps)]
    if gaps.size < 5:
        return apart
    level = abs(float(pairs[-1][0] or 0.0))
    return max(min(apart, successive_noise(gaps)), FLOOR * level * math.sqrt(2), 1e-12)


def _judge(
    contestants: Sequence[Contestant],
    alive: Sequence[tuple[float, int]],
    step: int,
    rows: Sequence[LossRow],
    by_length: bool = False,
) -> Pick:
    (value, index), (second, other) = alive[0], alive[1]
    margin = second - value
    noise = _measure_noise_between(contestants, index, other, rows)
    name = contestants[index].label
    if margin > CLEAR * noise:
        why = (
            f"{name}: {value:.4g} at step {step}, {margin:.2g} below {contestants[other].label}"
            f" ({margin / noise:.1f} times the noise)"
        )
        return Pick(index, why, step, value, margin, noise, clear=True)
    tied = [
        i for v, i in alive
        if i == index or v - value <= CLEAR * _measure_noise_between(contestants, index, i, rows)
    ]  # fmt: skip
    names = ", ".join(contestants[i].label for i in tied)
    index, reason = (_find_shortest if by_length else _find_cheapest)(contestants, tied, value)
    where = "" if by_length else f" at step {step}"
    why = (
        f"no clear winner: {names} lie within the noise{where} ({margin:.2g} apart,"
        f" noise {noise:.2g}); {contestants[index].label} {reason}"
    )
    own = next(v for v, i in alive if i == index)
    return Pick(index, why, step, own, margin, noise)


def _find_shortest(
    contestants: Sequence[Contestant], tied: Sequence[int], value: float
) -> tuple[int, str]:
    """Return which of several equal runs took the fewest steps, and why."""
    ends = sorted((_find_end(contestants[i].run), i) for i in tied)
    if ends[0][0] < AS_LONG * ends[1][0]:
        return ends[0][1], f"is the shorter: {ends[0][0]:.0f} steps against {ends[1][0]:.0f}"
    return _find_cheapest(contestants, tied, value)


def _find_cheapest(
    contestants: Sequence[Contestant], tied: Sequence[int], value: float
) -> tuple[int, str]:
    """Return which of several equal runs was cheapest, and why.

    By time, then by the step at which it first reached the loss ``value``.
    """
    seconds = {i: _count_seconds(contestants[i].run) for i in tied}
    known = sorted((s, i) for i, s in seconds.items() if s)
    if len(known) == len(tied) and known[0][0] < 0.95 * known[1][0]:
        return known[0][1], f"is the cheaper: {known[0][0]:.0f} s against {known[1][0]:.0f} s"
    reached = []
    for i in tied:
        c = contestants[i]
        low = np.flatnonzero(c.values <= value + CLEAR * c.noise)
        reached.append((float(c.steps[low[0]]) if low.size else math.inf, i))
    first = min(reached)
    if sum(step == first[0] for step, _ in reached) == 1 and math.isfinite(first[0]):
        return first[1], f"is the earlier: there at step {first[0]:.0f}"
    return tied[0], "is the first one, since nothing else tells them apart"


def _count_seconds(run: Run) -> float:
    series = run.series.get("train/loss")
    if series is None or series.times is None or len(series) < 2:
        return 0.0
    return float(series.times[-1] - series.times[0])


def find_seed_differences(
    runs: Sequence[Run], labels: Sequence[str], rulebook: Rulebook
) -> tuple[Finding, ...]:
    """Return the Finding of rule LT010 where the runs' seeds differ."""
    rule = rulebook.find(SEED_RULE)
    seeds = [value_of(run, "rng.seed") for run in runs]
    if rule is None or len({str(s) for s in seeds if s is not None}) < 2:
        return ()
    said = [f"{n} {s}" for n, s in zip(labels, seeds, strict=True) if s is not None]
    evidence = tuple(Evidence("config", text=f"seed of {text}") for text in said)
    message = f"seeds differ: {', '.join(said)}; part of the difference between the runs is chance"
    return (
        Finding(
            rule.code, rule.name, rule.symptom, rule.severity, CONFIDENCES[rule.confidence],
            message, evidence=evidence, guide=rule.guide, do=rule.do,
        ),
    )  # fmt: skip


def _list_notes(
    contestants: Sequence[Contestant], differs: Sequence[Difference], series: str
) -> tuple[str, ...]:
    notes = []
    if series == "train/loss":
        notes.append("no run has a validation loss: the training loss is shown, which memorising"
                     " also lowers")  # fmt: skip
    longest = max((float(c.steps[-1]) for c in contestants if c.steps.size), default=0.0)
    for c in contestants:
        if not c.steps.size:
            notes.append(f"{c.label}: no {series}, so it is not ranked")
        elif c.steps[-1] < REACHES * longest and not ended_as_planned(c.run):
            end = f"ends at step {c.steps[-1]:.0f} of {longest:.0f}"
            notes.append(f"{c.label}: {end}, too early to be ranked at the same step")
    keys = {d.key for d in differs}
    if "step_scheduler.global_batch_size" in keys:
        notes.append("the global batch differs: at the same step the runs saw different amounts"
                     " of data")  # fmt: skip
    if "model.pretrained_model_name_or_path" in keys:
        notes.append("the base model differs: losses compare only where the tokenizer is the same")
    return tuple(notes)
