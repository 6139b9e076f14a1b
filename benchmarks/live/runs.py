"""Runs with a known onset, of ../shared/logs too where it is, and what a Monitor says of them.

Onsets of generated runs are read off their clean curves, before noise: the first logged point at
which a careful reader could see the fault, by the floors of the labelling guide.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from advisor.monitor import Change, Monitor
from advisor.readers import names
from advisor.readers.numbers import to_float
from advisor.rulebook.rule import Rulebook
from benchmarks.generated import generator
from benchmarks.generated.curves import Sketch
from benchmarks.places import BENCHMARKS, CACHE, SHARED_LOGS

GALLERY = BENCHMARKS / "gallery"
RUNS = CACHE / "gallery"
Row = Mapping[str, object]
SYMPTOMS = {  # what may answer for a group of faults
    "nonfinite": {"nonfinite", "numerics"},
    "zero": {"nonfinite", "no_signal"},
    "spike": {"spike", "spikes", "divergence"},
    "rate": {"divergence", "spikes", "spike", "nonfinite"},
    "overfit": {"overfit", "overfit_onset"},
    "plateau": {"plateau", "early_plateau", "underfit", "lr_too_low", "slow", "no_signal"},
}
KINDS = {
    "nonfinite": ("nan_late", "nan_early", "inf_loss", "grad_explodes_to_nan"),
    "zero": ("zero_loss_nan_grad",),
    "spike": ("spike_slow_recovery", "spike_fast_recovery", "spikes_repeated"),
    "rate": ("divergence_late", "blowup_then_flat", "diverge_partial_recovery"),
    "overfit": ("overfit", "staircase_overfit"),
    "plateau": ("plateau_early",),
}


@dataclass(frozen=True, slots=True)
class Live:
    """A run as rows, its group, and the row of its onset (None: healthy, or not known)."""

    name: str
    group: str  # a group of KINDS, or healthy
    rows: Sequence[Row]
    onset: int | None
    quiet: frozenset[str] = frozenset()  # symptoms that are no false alarm
    facts: Mapping[str, object] = field(default_factory=dict)
    unit: str = "points"  # of a delay: points, or evaluations
    wanted: frozenset[str] = frozenset()  # symptoms that answer; those of its group if none

    @property
    def answers(self) -> set[str]:
        return {*self.wanted} or SYMPTOMS[self.group]


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a run: changes with the number of their row."""

    changes: tuple[tuple[int, Change], ...]

    def first(self, wanted: set[str], since: int) -> int | None:
        """The row at which one of these symptoms stood first, from a row on."""
        standing: dict[str, int] = {}
        for row, change in self.changes:
            code = change.finding.code
            if change.kind == "withdrawn":
                if standing.get(code, since) < since:
                    standing.pop(code, None)
            elif change.finding.symptom in wanted and change.finding.severity != "info":
                standing.setdefault(code, row)
        return min((max(row, since) for row in standing.values()), default=None)


def replay(run: Live, rulebook: Rulebook, seconds: float = 0.0) -> Told:
    """Feed a run row by row, ``seconds`` apart."""
    now = [0.0]
    off: list[str] = []
    monitor = Monitor(rulebook=rulebook, facts=run.facts, clock=lambda: now[0], sink=off.append)
    changes: list[tuple[int, Change]] = []
    for i, row in enumerate(run.rows):
        now[0] += seconds
        metrics = {k: v for k, v in row.items() if k != "step"}
        changes += [(i, c) for c in monitor.observe(int(str(row["step"])), **metrics)]
    if monitor.is_off:
        raise RuntimeError(f"{run.name}: the monitor has switched itself off: {off[-1:]}")
    return Told(tuple(changes))


def delay(run: Live, told: Told) -> int | None:
    """Rows (or evaluations) from the onset to the first telling; None where nothing was told."""
    if run.onset is None:
        return None
    row = told.first(run.answers, run.onset)
    if row is None:
        return None
    if run.unit == "points":
        return sum("loss" in r for r in run.rows[run.onset + 1 : row + 1])
    return sum("eval_loss" in r for r in run.rows[run.onset + 1 : row + 1])


def generated(group: str, seeds: range) -> Iterator[Live]:
    """Generated runs of a group whose fault is to be seen."""
    for kind in KINDS[group]:
        for seed in seeds:
            case = generator.make(kind, seed)
            if not case.must:
                continue
            sketch = generator.KINDS[kind](
                np.random.default_rng([zlib.crc32(kind.encode()), seed]), seed
            )
            onset = _onset(group, sketch, case.rows)
            if onset is not None:
                unit = "evaluations" if group == "overfit" else "points"
                facts = {"max_steps": case.rows[-1]["step"]}
                yield Live(f"{kind}.s{seed}", group, case.rows, onset, facts=facts, unit=unit)


def healthy(seeds: range) -> Iterator[Live]:
    for kind in generator.HEALTHY:
        for seed in seeds:
            case = generator.make(kind, seed)
            facts = {"max_steps": case.rows[-1]["step"]}
            quiet = frozenset(case.may)
            yield Live(f"{kind}.s{seed}", "healthy", case.rows, None, quiet, facts)


def _onset(group: str, s: Sketch, rows: Sequence[Row]) -> int | None:
    """The row of the onset."""
    if group in ("nonfinite", "zero"):
        bad = (s.loss == 0) | ~np.isfinite(s.loss)
        return _row(rows, int(np.argmax(bad))) if bad.any() else None
    if group == "spike":
        return _row(rows, min(s.at))
    if group == "rate":
        best = np.minimum.accumulate(s.clean)
        high = s.clean > best * (1 + max(0.05, 2 * s.rel))
        high[: min(s.at)] = False
        return _row(rows, int(np.argmax(high))) if high.any() else None
    if group == "overfit":
        best = np.minimum.accumulate(s.eval_clean)
        high = s.eval_clean > best * (1 + max(0.03, 2 * s.eval_rel))
        if not high.any():
            return None
        return _row(rows, int(s.eval_at[int(np.argmax(high))]), "eval_loss")
    # flat: all but a twentieth of the fall is over
    left = (s.clean - s.clean[-1]) / (s.clean[0] - s.clean[-1])
    return _row(rows, int(np.argmax(left < 0.05)))


def _row(rows: Sequence[Row], index: int, name: str = "loss") -> int:
    """The row that holds the index-th training loss, or the evaluation right after it."""
    count = -1
    for i, row in enumerate(rows):
        count += "loss" in row
        if count == index and name in row:
            return i
    raise ValueError("no such point")


def real_logs(
    labels: Path = SHARED_LOGS / "labels.jsonl",
) -> Iterator[tuple[Mapping[str, object], Live]]:
    """Labelled real logs whose rows state their steps; nothing where they are absent."""
    if not labels.is_file():
        return
    for line in labels.read_text().splitlines():
        label = json.loads(line)
        rows = rows_of(labels.parent / label["file"])
        if rows and "unscored" not in label:
            quiet = frozenset(label["may"]) | frozenset(label["likely"]) | {
                s for group in label["must"] for s in group
            }  # fmt: skip
            yield label, Live(label["id"], "real", rows, None, quiet)


def _number(value: object) -> object:
    """A text such as 'nan' as the number that it stands for."""
    number = to_float(value) if isinstance(value, str) else None
    return value if number is None else number


def rows_of(path: Path) -> list[Row]:
    """Rows of a trainer state or of JSON lines that state steps."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".json":
            found = json.loads(text)
            rows = found.get("log_history") if isinstance(found, dict) else found
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (OSError, ValueError):
        return []
    if not isinstance(rows, list):
        return []
    good = [r for r in rows if isinstance(r, dict) and "train_runtime" not in r]
    good = [r for r in good if isinstance(r.get("step"), int) and not isinstance(r["step"], bool)]
    good = [{k: _number(v) for k, v in row.items()} for row in good]
    return good if any(names.is_telling(names.canonical(k)) for r in good[:3] for k in r) else []


# Names of the gallery's symptoms -> group; the first that a run demands decides.
_GROUPS = {
    "nonfinite": "nonfinite", "divergence": "rate", "spikes": "spike", "spike": "spike",
    "overfit": "overfit", "plateau": "plateau", "early_plateau": "plateau",
}  # fmt: skip


def gallery() -> Iterator[Live]:
    """Real runs of the gallery that state their steps: healthy, or with a known onset."""
    labels = GALLERY / "labels.jsonl"
    if not labels.is_file():
        return
    for line in labels.read_text().splitlines():
        label = json.loads(line)
        rows = _gallery_rows(RUNS / label["id"])
        if not rows:
            continue
        facts = {"max_steps": label["steps"]}
        quiet = frozenset(label["may"])
        if label["healthy"]:
            yield Live(label["id"], "healthy", rows, None, quiet, facts)
            continue
        group = next((_GROUPS[s] for must in label["must"] for s in must if s in _GROUPS), "")
        onset = None if label["onset"] is None else _row_at(rows, label["onset"], group)
        if group and onset is not None:
            unit = "evaluations" if group == "overfit" else "points"
            wanted = frozenset(s for must in label["must"] for s in must)
            yield Live(label["id"], group, rows, onset, quiet, facts, unit, wanted)


def _gallery_rows(folder: Path) -> list[Row]:
    both = [rows_of(folder / name) for name in ("training.jsonl", "validation.jsonl")]
    if all(both):
        rows = sorted([*both[0], *both[1]], key=lambda r: int(str(r["step"])))
        return [{_PLAIN.get(k, k): v for k, v in row.items()} for row in rows]
    for pattern in ("training.jsonl", "metrics.jsonl", "trainer_state.json", "*.jsonl"):
        for path in sorted(folder.rglob(pattern)):
            if path.name != "events.jsonl" and (rows := rows_of(path)):
                return [{_PLAIN.get(k, k): v for k, v in row.items()} for row in rows]
    return []


_PLAIN = {"val_loss": "eval_loss", "train_loss": "loss", "train/loss": "loss"}


def _row_at(rows: Sequence[Row], step: int, group: str) -> int | None:
    """The first row from a step on that shows the metric of a group."""
    name = "eval_loss" if group == "overfit" else "loss"
    after = (i for i, r in enumerate(rows) if int(str(r["step"])) >= step and name in r)
    return next(after, None)
