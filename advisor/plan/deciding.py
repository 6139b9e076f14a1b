"""Moves edits to the key that decides: some keys have no effect while another one is set."""

from __future__ import annotations

from dataclasses import replace

from advisor.base.numbers import finite, is_number, number
from advisor.findings import Edit
from advisor.plan import coupling
from advisor.plan.bounds import bound
from advisor.plan.edits import note, resolve
from advisor.plan.target import Target

LONGER = 1.5  # factor for the steps where one epoch more is wanted but its length is unknown


def deciding(edit: Edit, target: Target) -> Edit:
    """Return the Edit as an edit of max_steps if that ends the run, whatever the epochs.

    Hugging Face's Trainer ignores the epochs once max_steps is set; the guide's trainer ends at
    whichever comes first, so both are moved there (``coupling``).
    """
    steps = target.values.get(coupling.STEPS)
    if edit.key != coupling.EPOCHS or edit.applies == "advice" or target.habits.ends_at == "first":
        return edit
    if not is_number(steps) or number(steps) <= 0:
        return edit
    if target.habits.ends_at == "unknown" and coupling.EPOCHS in target.values:
        return edit  # unknown which of the two ends the run
    epochs = _epochs(target, number(steps))
    if epochs is None and edit.op == "add" and is_number(edit.operand):
        factor = LONGER if number(edit.operand) > 0 else 1 / LONGER
        return replace(edit, key=coupling.STEPS, op="multiply", operand=factor, low=None, high=None)
    done = resolve(bound(edit, target.view, epochs), epochs)
    if epochs is None or not done.resolved or not is_number(done.new):
        return edit  # both are moved by the same factor
    wanted = max(1, round(number(steps) * number(done.new) / epochs))
    moved = replace(edit, key=coupling.STEPS, op="set", operand=wanted, low=None, high=None)
    return note(moved, "max_steps ends the run, whatever the epochs say")


def _epochs(target: Target, steps: float) -> float | None:
    """Return how many epochs the steps make, by what the log says about an epoch."""
    each = finite(target.run.facts.get("steps_per_epoch"))
    if each:
        return steps / each
    series = target.run.series.get("train/loss")
    if series is None or series.epochs is None or not len(series):
        return None
    last = finite(float(series.epochs[-1]))
    return steps * last / float(series.steps[-1]) if last and series.steps[-1] > 0 else None
