"""The size of a run (samples, epochs, steps, batch), from the config or else from the log."""

from __future__ import annotations

import math

from advisor.base.numbers import finite
from advisor.findings import Reading
from advisor.signals.base import missing
from advisor.signals.curves import View


def unknown(key: str) -> Reading:
    return missing(f"{key} is not known: give --config or --set {key}=...")


def number(view: View, key: str) -> Reading:
    """Return a numeric config value; flags count as 0 and 1."""
    value = view.config.get(key)
    if (found := finite(value)) is not None:
        return Reading(found)
    return unknown(key) if value is None else missing(f"{key} is {value!r}, not a number")


def positive(view: View, key: str) -> Reading:
    """Return a numeric config value that must lie above 0, as sizes and counts do."""
    reading = number(view, key)
    if reading.value is not None and reading.value <= 0:
        return missing(f"{key} is {reading.value:g}, not above 0")
    return reading


def text(view: View, key: str) -> str:
    """Return a config value as lower-case text; '' where it is not set."""
    value = view.config.get(key)
    return "" if value is None else str(value).strip().lower()


def positive_fact(view: View, name: str) -> float | None:
    value = finite(view.run.facts.get(name))
    return value if value is not None and value > 0 else None


def _epochs_in_log(view: View) -> float | None:
    curve = view.loss
    if curve.epochs is None or not curve.epochs.size or not math.isfinite(curve.epochs[-1]):
        return None
    return float(curve.epochs[-1]) or None


def epochs(view: View) -> Reading:
    """Planned epochs; where steps cap the run, the logged ones."""
    logged = _epochs_in_log(view)
    cap = number(view, "step_scheduler.max_steps").value
    if cap is not None and cap > 0:
        return missing("max_steps caps the run") if logged is None else Reading(logged)
    planned = positive(view, "step_scheduler.num_epochs").value
    planned = planned or positive_fact(view, "num_train_epochs") or logged
    return Reading(planned) if planned else unknown("step_scheduler.num_epochs")


def global_batch(view: View) -> Reading:
    """Samples per optimiser step."""
    whole = positive(view, "step_scheduler.global_batch_size")
    if whole.value is not None:
        return whole
    local = positive(view, "step_scheduler.local_batch_size").value
    parts = positive(view, "step_scheduler.grad_acc_steps").value
    devices = positive(view, "data.parallel").value
    if local and parts and devices:
        return Reading(local * parts * devices)
    return whole


def samples(view: View) -> Reading:
    """Training samples: as stated, as limited, else steps per epoch times the batch."""
    stated = positive(view, "data.samples").value or positive_fact(view, "samples")
    limit = positive(view, "dataset.limit_dataset_samples").value
    known = [value for value in (stated, limit) if value and value > 0]
    if known:
        return Reading(min(known))
    batch = global_batch(view).value
    per_epoch = positive_fact(view, "steps_per_epoch")
    logged = _epochs_in_log(view)
    counted = view.run.facts.get("rows_counted")  # rows, which may be more than one step each
    if per_epoch is None and logged and len(view.loss) and not counted:
        per_epoch = float(view.loss.steps[-1]) / logged
    if batch and per_epoch:
        return Reading(batch * per_epoch)
    return unknown("data.samples")


def total_steps(view: View) -> Reading:
    """Planned optimiser steps: as stated, else epochs times samples over the batch."""
    stated = positive_fact(view, "max_steps")
    cap = number(view, "step_scheduler.max_steps").value
    if stated or (cap and cap > 0):
        return Reading(float(stated or cap or 0))
    count, size, passes = samples(view).value, global_batch(view).value, epochs(view).value
    if count and size and passes and math.isfinite(steps := count / size * passes):
        return Reading(math.ceil(count / size) * passes if steps < 1e12 else steps)
    return unknown("step_scheduler.max_steps")


def warmup_steps(view: View) -> Reading:
    """Configured warm-up steps; a ratio is multiplied by the length of the run."""
    steps = number(view, "lr_scheduler.lr_warmup_steps")
    if steps.value:
        return steps
    ratio, total = number(view, "lr_scheduler.lr_warmup_ratio").value, total_steps(view)
    if ratio is not None and total.value is not None:
        return Reading(ratio * total.value)
    return steps
