"""What really happened in a run of real_runs.py, read from its files without the advisor.

The rules look at the run's outcome beside that of the good run of its family, and at no name or
setting but two that no curve proves: labels all masked, and an optimiser that began again.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

LOW = {"lr_too_low", "slow", "undertrained", "underfit", "plateau", "early_plateau", "no_signal",
       "grad_vanishing"}  # fmt: skip
HIGH = {"divergence", "spikes", "spike", "oscillation"}
# label: symptoms of which one is demanded, symptoms that may stand beside it
WANTED: dict[str, tuple[set[str], set[str]]] = {
    "healthy": (set(), set()),
    "fair": (set(), LOW | {"noisy", "overfit_onset", "lr_schedule"}),
    "poor": (set(), LOW | HIGH | {"noisy", "grad_spikes", "clipping", "overfit_onset", "config"}),
    # worse than before the first step: that the rate was too high may be said in several ways
    "broken": (HIGH | {"plateau", "underfit", "config"}, {"grad_spikes", "clipping", "numerics"}),
    "nonfinite": ({"nonfinite"}, {"numerics", "grad_spikes", *HIGH}),
    "no_signal": ({"no_signal", "data_format", "nonfinite"}, {"numerics"}),
    "restarted": ({"lr_schedule", "resume_jump", "spikes"}, {"undertrained"}),
    "standstill": (LOW, {"noisy"}),
    "diverged": ({"divergence", "spikes"}, HIGH | {"grad_spikes", "numerics", "overfit_onset"}),
    "overfits": ({"overfit", "overfit_onset"}, set()),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Losses of a run, and its held-out losses from before the first step to the last."""

    losses: list[float]
    held: list[float]
    hidden: bool  # a loss of 0 beside a norm that is not finite

    @property
    def width(self) -> int:
        return max(1, len(self.losses) // 10)

    @property
    def start(self) -> float:
        return self.losses[0]

    @property
    def end(self) -> float:
        return mean(self.losses[-max(2, self.width) :])

    @property
    def low(self) -> float:
        return min(mean(self.losses[i : i + self.width])
                   for i in range(len(self.losses) - self.width + 1))  # fmt: skip

    @property
    def gain(self) -> float:
        """On held-out rows where they were asked before and after, else in training."""
        if len(self.held) > 1:
            return self.held[0] - self.held[-1]
        return mean(self.losses[: min(3, self.width)]) - self.end


def outcome_of(job: dict[str, Any]) -> Outcome:
    folder = Path(job["folder"])
    truth = json.loads(folder.with_suffix(".truth.json").read_text())
    if (folder / "training.jsonl").exists():
        rows = _lines(folder / "training.jsonl")
        held = [row["val_loss"] for row in _lines(folder / "validation.jsonl")]
        return _outcome(rows, held, rows)
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rows = [row for row in history if "loss" in row]
    held = [row["eval_loss"] for row in history if "eval_loss" in row]
    return _outcome(rows, [truth["before"], *held, truth["after"]], rows)


def _outcome(rows: list[Any], held: list[float], norms: list[Any]) -> Outcome:
    hidden = any(row["loss"] == 0 and not math.isfinite(row.get("grad_norm") or 0) for row in norms)
    return Outcome([float(row["loss"]) for row in rows], [float(v) for v in held], hidden)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def demanded(job: dict[str, Any], run: Outcome, good: Outcome) -> tuple[str, str]:
    """The label, and the figures that it stands on."""
    facts = f"train {run.start:.4g} to {run.end:.4g} (lowest {run.low:.4g})"
    if len(run.held) > 1:
        facts += f"; held out {run.held[0]:.3f}, {min(run.held):.3f}, {run.held[-1]:.3f}"
    return _label(job, run, good), facts


def _label(job: dict[str, Any], run: Outcome, good: Outcome) -> str:
    if job.get("fault") == "reset":
        return "restarted"
    if job.get("fault") == "masked":
        return "no_signal"
    if run.hidden or not all(math.isfinite(value) for value in [*run.losses, *run.held]):
        return "nonfinite"
    if max(run.losses) > 1.5 * run.start and (run.gain < 0 or run.end > 1.1 * run.start):
        return "broken"
    noise = median(abs(b - a) for a, b in zip(run.losses, run.losses[1:], strict=False))
    rise = run.end - run.low
    if rise > max(0.1 * run.low, 0.15 * (run.start - run.low), 3 * noise):
        return "diverged"
    if run.held and run.held[-1] > 1.05 * min(run.held) and run.end < 0.9 * run.start:
        return "overfits"
    share = run.gain / max(good.gain, 1e-9)
    if share < 0.1:
        return "standstill"
    return "poor" if share < 0.6 else "fair" if share < 0.9 else "healthy"


def is_right(label: str, report: Any) -> bool:
    """One of the demanded symptoms is warned of, nothing else, and the rate moves the right way."""
    wanted, allowed = WANTED[label]
    said = {f.symptom for f in report.findings if f.severity != "info"}
    moves = [e for e in report.plan.edits if e.key == "optimizer.lr" and e.resolved]
    up = any(float(e.new) > float(e.old) for e in moves)
    down = any(float(e.new) < float(e.old) for e in moves)
    wrong_way = (up and label in ("diverged", "nonfinite", "overfits", "broken")) or (
        down and label == "standstill"
    )
    return bool(not wanted or said & wanted) and said <= wanted | allowed and not wrong_way
