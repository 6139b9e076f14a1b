"""What has to be said of a run, decided by its outcome beside the good run of its family.

The knob that was turned gives only the causes and the cure. A knob that leaves no visible trace
demands nothing. The few facts that a curve cannot show, but the log or the config says, are in
``_facts``. The rules are written down in README.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gallery.causes_of import BY_KNOB, BY_OUTCOME, Cure
from benchmarks.gallery.families import Job, split_of
from benchmarks.gallery.outcomes import Outcome, kind_of, onset
from benchmarks.gallery.rows import rows

LOW = ("lr_too_low", "slow", "undertrained", "underfit", "plateau", "early_plateau", "no_signal",
       "grad_vanishing")  # fmt: skip
HIGH = ("divergence", "spikes", "spike", "oscillation")
HOT = ("grad_spikes", "clipping", "numerics")
OVER = ("overfit", "overfit_onset")
ENOUGH = 40  # steps: the guide looks at the first 50 to 100


@dataclass(frozen=True, slots=True)
class Demand:
    """``must``: of each group one symptom; ``may``: what can be said beside it."""

    must: tuple[tuple[str, ...], ...] = ()
    may: tuple[str, ...] = ()


BY_KIND: dict[str, Demand] = {
    "healthy": Demand(),
    "fair": Demand((), (*LOW, *OVER, "noisy", "lr_schedule", "grad_spikes", "config")),
    "poor": Demand((), (*LOW, *HIGH, *HOT, *OVER, "noisy", "config")),
    "broken": Demand(((*HIGH, "plateau", "underfit", "config"),), HOT),
    "nonfinite": Demand((("nonfinite", "numerics"),), ("config", "grad_spikes", *HIGH)),
    "no_signal": Demand((("no_signal", "data_format", "nonfinite"),), ("numerics", "config")),
    "standstill": Demand((LOW,), ("noisy", "config")),
    "diverged": Demand((("divergence", "spikes"),), (*HIGH, *HOT, *OVER, "config")),
    "overfits": Demand((OVER,), ("memorized", "config")),
    "oom": Demand((("oom",),), ()),
}


def label(job: Job, run: Outcome, good: Outcome) -> dict[str, Any]:
    """The row of labels.jsonl for one run."""
    kind = "healthy" if job["knob"] in ("good-dpo", "good-grpo") else kind_of(run, good)
    fact = _facts(job, run, good, kind)
    demand = _joined(BY_KIND[kind], fact)
    if kind == "standstill" and job["steps"] < ENOUGH and not fact.must:
        demand = Demand((), (*LOW, *demand.may))
    healthy = kind == "healthy" and not fact.must and not _spoils(job["knob"])
    if not healthy and kind == "healthy":
        demand = Demand(demand.must, (*demand.may, *OWN_NAMES.get(job["knob"], ())))
    may = {*demand.may, *_doubtful(job, run)}
    causes, cure = _causes(job["knob"], kind, bool(demand.must), job["trainer"])
    if job["trainer"] == "ours" and job["evals"] and _shares_rows(job):  # our trainer says so
        healthy, leaked = False, (("eval_leak",),)
        causes = (*causes, "validation_leaked") if demand.must else ("validation_leaked",)
        cure = cure if demand.must else ()
        demand = demand if "eval_leak" in sum(demand.must, ()) else Demand((*demand.must, *leaked))
    return {
        "id": job["id"], "arch": job["arch"], "data": job["data"], "method": job["method"],
        "trainer": job["trainer"], "family": job["family"], "knob": job["knob"],
        "outcome": kind, "healthy": healthy, "visible": bool(demand.must),
        "emulated": job["emulated"], "must": [list(group) for group in demand.must],
        "may": sorted(may), "causes": list(causes), "cure": list(cure),
        "onset": onset(kind, run) if demand.must else None, "seed": job["seed"],
        "steps": job["steps"], "format": job["format"] or "ours", "split": split_of(job),
    }  # fmt: skip


# Faults that spoil what the model learns, or what the figures mean, though all curves look well.
SPOILING = frozenset(
    ["leaked", "leaked-config", "masked-part", "padding-supervised", "end-missing", "end-masked",
     "shuffled", "corrupted", "duplicated", "resume-new-optimizer", "resume-jump", "head-new",
     "resume-same-order", "accumulation-summed", "schedule-short", "schedule-per-rank"]
)  # fmt: skip
# A loss that begins at 10 or more, far beyond a guess among all tokens, tells these.
BLIND = frozenset(["head-new", "padding-supervised", "accumulation-summed"])
OWN_NAMES: dict[str, tuple[str, ...]] = {
    "leaked": ("eval_leak",), "duplicated": ("data_format", *OVER, "memorized"),
    "padding-supervised": ("data_format", "converged"), "end-missing": ("data_format",),
    "end-masked": ("data_format",), "shuffled": ("data_format",), "masked-part": ("data_format",),
    "corrupted": ("data_format", "noisy", "spikes", "spike", "grad_spikes"),
    "resume-new-optimizer": ("resume_jump", "lr_schedule"), "head-new": ("data_format", "config"),
    "resume-same-order": ("resume_jump", "memorized"), "resume-jump": ("resume_jump", *HIGH),
    "accumulation-summed": ("data_format", "numerics", "config", "grad_spikes", "clipping"),
    "schedule-short": ("lr_schedule",), "schedule-per-rank": ("lr_schedule",),
}  # fmt: skip


def _spoils(knob: str) -> bool:
    return knob in SPOILING


def _joined(first: Demand, second: Demand) -> Demand:
    """Both; where a fact is demanded, it stands in for what the curve alone would ask."""
    if not second.must:
        return Demand(first.must, (*first.may, *second.may))
    eased = tuple(name for group in first.must for name in group)
    return Demand(second.must, (*first.may, *second.may, *eased))


def _facts(job: Job, run: Outcome, good: Outcome, kind: str) -> Demand:
    """What the log or the config says in so many words, or in a series beside the loss."""
    knob, told = job["knob"], job["config"]
    if knob == "leaked-config" and told:
        return Demand((("eval_leak",),), ("memorized", *OVER))
    if knob == "leaked" and _memorised(job, run, good):
        return Demand((("eval_leak",),), ("memorized",))
    if knob in ("schedule-short", "schedule-per-rank") and run.rate_floor < 0.7:
        return Demand((("lr_schedule",),), LOW)
    if knob in ("resume-new-optimizer", "resume-jump"):
        return Demand((("lr_schedule", "resume_jump", *HIGH),), (*LOW, *HOT))
    if knob == "masked-part" and sum(loss == 0 for loss in run.losses) > 0.1 * len(run.losses):
        return Demand((("no_signal", "data_format", "nonfinite"),), ("noisy", *LOW, *HIGH))
    if knob in BLIND and run.start >= 10:
        return Demand((("data_format", "numerics", "config"),), HOT)
    if knob == "idle-gpu":
        return Demand((("low_utilization", "data_stall"),))
    if knob == "data-stall":
        return Demand((("data_stall", "low_utilization"),))
    if knob == "resume-same-order" and _steps_down(job, run):
        return Demand((("resume_jump", "memorized"),))
    calm = kind in ("healthy", "fair", "poor", "standstill")
    if calm and run.noise > max(0.25 * run.end, 0.6 * abs(run.start - run.end)):
        return Demand((("noisy",),), LOW)
    if kind == "poor" and (run.jumps or run.blows_up):
        return Demand(((*HIGH, "grad_spikes", "plateau", "config"),), LOW)
    share, errors = run.last_fall
    if kind in ("healthy", "fair", "poor") and share > 0.15 and errors > 6 and run.rate_stays:
        return Demand((("undertrained", "slow", "lr_too_low"),), LOW)
    return Demand((), OWN_NAMES.get(knob, ()))


def _shares_rows(job: Job) -> bool:
    """Whether a held-out row is also trained on: short cuts of rows may be the same."""
    trained = {json.dumps(row) for row in rows(job, "train")}
    return any(json.dumps(row) in trained for row in rows(job, "val"))


def _memorised(job: Job, run: Outcome, good: Outcome) -> bool:
    """After many passes the held-out loss that was logged is near 0, as the training loss is."""
    if len(run.evals) < 4 or good.after is None:
        return False
    logged, passes = run.evals[-1][1], job["steps"] * job["batch"] / job["rows"]
    return passes >= 8 and logged < 0.15 * run.start and logged < 0.3 * good.after


def _steps_down(job: Job, run: Outcome) -> bool:
    """The loss falls at the resume by much more than its noise."""
    at = next((i for i, step in enumerate(run.steps) if step > job["steps"] // 2), 0)
    if at < 6 or len(run.losses) - at < 6:
        return False
    before, after = sum(run.losses[at - 6 : at]) / 6, sum(run.losses[at : at + 6]) / 6
    return before - after > max(4 * run.noise / 6**0.5, 0.15 * before)


def _doubtful(job: Job, run: Outcome) -> list[str]:
    """What cannot be called wrong of this run, whatever else is said."""
    if not run.finite or job["knob"] in ("good-dpo", "good-grpo"):
        return []
    found = []
    share, errors = run.last_fall
    held = [value for _, value in run.evals[-2:]]
    if (share > 0.05 and errors > 2) or (len(held) == 2 and held[1] < 0.98 * held[0]):
        found += ["undertrained", "slow"]
    if run.noise > 0.2 * run.end:
        found.append("noisy")
    if run.jumps or run.blows_up:
        found += ["spike", "spikes", "grad_spikes"]
    if 0.01 < run.held_rise <= 0.05:
        found += ["overfit_onset", "overfit"]
    return found


def _causes(
    knob: str, kind: str, visible: bool, trainer: str
) -> tuple[Sequence[str], Sequence[Cure]]:
    if kind == "healthy" and not visible and not _spoils(knob):
        return (), ()
    causes, cures = BY_KNOB.get(knob, ((), ()))
    if not causes:
        causes, cures = BY_OUTCOME.get(kind, ((), ()))
    return causes, [cure for cure in cures if trainer in cure.get("trainers", (trainer,))]
