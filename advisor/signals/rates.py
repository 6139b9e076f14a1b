"""A learning rate far beyond what is recommended for anything, and steps as large as it is."""

from __future__ import annotations

from advisor.findings import Reading
from advisor.ranges import load_ranges
from advisor.signals import setup
from advisor.signals.base import Signal
from advisor.signals.facts import text
from advisor.signals.view import View

_OTHERS = ("dadapt", "prodigy", "schedule", "adafactor", "adagrad", "adadelta")


def lr_excess(view: View) -> Reading:
    """Peak rate over the highest that is recommended for any amount of data, of the method where
    it is known; 0 where no rate is."""
    rate, method = setup.lr(view), text(view, "method")
    if rate.value is None:
        return Reading(0.0)
    rows = [row for row in load_ranges() if row.key == "optimizer.lr"]
    rows = [row for row in rows if row.method == method] or rows
    pairs = [pair for row in rows for pair in (row.all, row.small, row.medium, row.large) if pair]
    top = max(high for _, high in pairs)
    return Reading(rate.value / top, "", rate.first_step, rate.last_step, rate.evidence)


def adam_steps(view: View) -> Reading:
    """1 where each step moves a weight by about the learning rate, as Adam's do.

    Trainers that we know take AdamW where nothing is said; elsewhere it has to be stated.
    """
    name = text(view, "optimizer._target_")
    if not name:
        return Reading(float(view.run.config.dialect in ("automodel", "transformers")))
    return Reading(float("adam" in name and not any(other in name for other in _OTHERS)))


SIGNALS = {
    "setup.lr_excess": Signal("ratio", "rate over the top of all ranges; 0: unknown", lr_excess),
    "setup.adam_steps": Signal("0 or 1", "known to step by about the learning rate", adam_steps),
}
