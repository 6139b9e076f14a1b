"""The recommended range of a run's value, in one place, and rates far beyond any range."""

from __future__ import annotations

from advisor.config.ranges import KeyRange, range_for, top_of, with_field
from advisor.dialects import habits_of
from advisor.findings import Reading
from advisor.run import Run
from advisor.signals import run_size as facts
from advisor.signals import schedule
from advisor.signals.base import Signal, missing
from advisor.signals.curves import View
from advisor.signals.run_size import number, text, unknown

LR = "optimizer.lr"
_OTHERS = ("dadapt", "prodigy", "schedule", "adafactor", "adagrad", "adadelta")


def range_of(key: str, run: Run | View, method: str = "") -> KeyRange | None:
    """Return the recommended range of a key for this run, for rule, plan and strategy.

    It depends on the run's method (or a planned ``method``), on the samples used, and for a rate on
    model and length. None where the method is unknown, where nothing is recommended, and for the
    rate of an optimiser whose steps are unlike Adam's.
    """
    view = run if isinstance(run, View) else View(run)
    method = method or text(view, "method")
    if not method or (key == LR and steps_otherwise(view)):
        return None
    known = range_for(key, method, facts.samples(view).value)
    if known is None or known.high is None:
        return known
    model = text(view, "model.pretrained_model_name_or_path")
    return with_field(known, method, facts.total_steps(view).value, model)


def steps_otherwise(view: View) -> bool:
    """Return whether the optimiser is known to take other rates than Adam: SGD, Lion, Muon."""
    name = text(view, "optimizer._target_")
    return bool(name) and ("adam" not in name or any(other in name for other in _OTHERS))


def no_range(key: str, view: View) -> Reading:
    """Return a Reading that says why a run has no range for a key."""
    of = text(view, "method")
    if not of:
        return unknown("method")
    if key == LR and steps_otherwise(view):
        of = f"{of} with {text(view, 'optimizer._target_')}"
    return missing(f"no recommended range of {key} for {of}")


def lr(view: View) -> Reading:
    """Peak learning rate of the config, else the highest logged."""
    reading = number(view, LR)
    return reading if reading.value is not None else schedule.peak(view)


def lr_excess(view: View) -> Reading:
    """Peak rate over the highest that is recommended for any amount of data, for the method if
    known; 0 where the rate is unknown or the optimiser takes other rates than Adam."""
    rate, top = lr(view), top_of(LR, text(view, "method"))
    if rate.value is None or top is None or steps_otherwise(view):
        return Reading(0.0)
    return Reading(rate.value / top, "", rate.first_step, rate.last_step, rate.evidence)


def lr_field_high(view: View) -> Reading:
    """Highest rate of later work with this method, where the guide's range ends lower."""
    bounds = range_of(LR, view)
    if bounds is None or bounds.field_high is None:
        return no_range(LR, view)
    return Reading(bounds.field_high)


def lr_over_field(view: View) -> Reading:
    """Peak rate over the highest rate of later work with this method."""
    rate, top = lr(view), lr_field_high(view)
    if rate.value is None or top.value is None:
        return top if top.value is None else rate
    return Reading(rate.value / top.value, "", None, None, rate.evidence)


def untried(view: View) -> Reading:
    """1 where no training loss is logged yet, so that no curve vouches for the setup."""
    return Reading(float(not len(view.loss)))


def adam_steps(view: View) -> Reading:
    """1 where each step moves a weight by about the learning rate, as Adam's steps do.

    Known trainers default to AdamW; elsewhere the optimiser has to be stated.
    """
    if not text(view, "optimizer._target_"):
        return Reading(float(habits_of(view.run.config.dialect).takes_adam))
    return Reading(float(not steps_otherwise(view)))


SIGNALS = {
    "setup.lr_field_high": Signal("rate", "highest learning rate in later work", lr_field_high),
    "setup.lr_over_field": Signal(
        "ratio", "learning rate over the highest in later work", lr_over_field
    ),
    "setup.lr_excess": Signal(
        "ratio",
        "learning rate over the highest recommended for any amount of data, 0 if unknown",
        lr_excess,
    ),
    "setup.untried": Signal("0 or 1", "no training loss is logged yet", untried),
    "setup.adam_steps": Signal(
        "0 or 1", "the optimiser moves a weight by about the learning rate per step", adam_steps
    ),
}
