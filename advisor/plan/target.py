"""The basis of a Plan's edits: the values of the run's training, and the current file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from advisor.base.numbers import is_number, number, same
from advisor.config.agreement import FAR, rate_span
from advisor.config.attach import peak_lr
from advisor.dialects import Dialect, default_of, dialect_of, habits_of
from advisor.dialects import tree as trees
from advisor.dialects.habits import Habits
from advisor.dialects.words import language_of
from advisor.errors import ConfigError
from advisor.findings import EditSource
from advisor.plan import coupling
from advisor.plan.edits import Value
from advisor.run import Config, Run
from advisor.signals import View


class Old(NamedTuple):
    """The value a run was trained with, and its source: also in words where that is not plain."""

    value: Value = None
    source: EditSource = ""
    whence: str = ""


@dataclass
class Target:
    """The basis of edits: the values of the run's training, and the current file."""

    config: Config
    run: Run

    @cached_property
    def name(self) -> str:
        return language_of(replace(self.run, config=self.config))

    @cached_property
    def dialect(self) -> Dialect | None:
        return dialect_of(self.name)

    @property
    def habits(self) -> Habits:
        return habits_of(self.name)

    @cached_property
    def _file(self) -> tuple[str, dict[str, object], str]:
        """The config's text and tree, and what is wrong with them."""
        if not self.config.path:
            return "", {}, ""
        path = Path(self.config.path)
        try:
            text = trees.read_text(path)
            return text, trees.parse(text, path) if text.strip() else {}, ""
        except ConfigError as error:
            return "", {}, str(error)

    @property
    def text(self) -> str:
        return self._file[0]

    @property
    def tree(self) -> dict[str, object]:
        return self._file[1]

    @property
    def problem(self) -> str:
        """Why the file cannot be read, '' if it can."""
        return self._file[2]

    @cached_property
    def held(self) -> dict[str, object]:
        """The values now in the file, in canonical units of this run."""
        return held_values(self.dialect, self.tree, self.config) if self.dialect else {}

    @cached_property
    def trusts_defaults(self) -> bool:
        """Whether a trainer's default counts: only if a file shows its arguments."""
        starts = ("optimizer.", "step_scheduler.", "lr_scheduler.")
        from_file = (key for key, o in self.config.origin.items() if o not in ("log", "--set"))
        return any(key.startswith(starts) for key in from_file)

    @cached_property
    def values(self) -> dict[str, object]:
        values = dict(self.config.values)
        peak, lr = peak_lr(self.run), values.get(coupling.LR)
        if peak is not None and (not is_number(lr) or is_far(number(lr), peak, self.run)):
            values[coupling.LR] = peak  # the file may have been edited since, the log not
        return values

    @cached_property
    def view(self) -> View:
        """The run with these values, for what is computed from a log: samples, length."""
        return View(replace(self.run, config=replace(self.config, values=self.values)))

    @cached_property
    def steps(self) -> float | None:
        """The planned optimiser steps of the run."""
        for name in ("total_steps", "max_steps"):
            stated = self.run.facts.get(name)
            if is_number(stated) and number(stated) > 0:
                return number(stated)
        series = self.run.series.get("train/loss")
        if series is None or not len(series) or self.run.facts.get("rows_counted"):
            return None
        return float(series.steps[-1])

    def old(self, key: str) -> Old:
        """Return the value trained with, and its source."""
        if key in self.values:
            value = self.values[key]
            stated = self.config.values.get(key)
            if key == coupling.LR and (not same(stated, value) or self._origin(key) == "log"):
                return Old(plain(value), "log", "inferred from the log")
            return Old(plain(value), "log" if self._origin(key) == "log" else "config")
        if key == coupling.WARMUP:
            return self._warmup()
        value = default_of(self.name, key, self.tree) if self.trusts_defaults else None
        return (
            Old() if value is None else Old(plain(value), "default", f"the default of {self.name}")
        )

    def _warmup(self) -> Old:
        share = self.values.get("lr_scheduler.lr_warmup_ratio")
        if is_number(share) and self.steps:
            return Old(round(number(share) * self.steps), "config", "from the warmup ratio")
        if self.dialect is None or not self.trusts_defaults:
            return Old()
        value, whence = self.dialect.default_warmup(self.tree, self.steps)
        return Old() if value is None else Old(plain(value), "default", whence)

    @cached_property
    def full(self) -> dict[str, object]:
        """The values that coupled edits depend on, with defaults filled in."""
        keys = (
            coupling.LR, coupling.GLOBAL, coupling.LOCAL, coupling.ACCUMULATION, coupling.ALPHA,
        )  # fmt: skip
        values = dict(self.values)
        for key in keys:
            value = self.old(key).value
            if key not in values and value is not None:
                values[key] = value
        local, steps = values.get(coupling.LOCAL), values.get(coupling.ACCUMULATION)
        if coupling.GLOBAL not in values and isinstance(local, int) and isinstance(steps, int):
            values[coupling.GLOBAL] = local * steps
        return values

    def _origin(self, key: str) -> str:
        return self.config.origin.get(key, "")


def is_far(rate: float, peak: float, run: Run) -> bool:
    """Return whether a run whose log peaks at ``peak`` cannot have been trained with a rate."""
    span = rate_span(run)
    return rate < 0.95 * peak or (span is not None and rate > FAR * span[2])


def held_values(dialect: Dialect, tree: dict[str, object], config: Config) -> dict[str, object]:
    """Return the values in a file, with the global batch for the run's number of devices."""
    held = dialect.read(tree) if tree else {}
    parallel = config.values.get("data.parallel")
    whole, stated = held.get(coupling.GLOBAL), held.get("data.parallel", 1)
    if (
        dialect.HABITS.global_batch == "product"
        and isinstance(parallel, int)
        and isinstance(whole, int)
    ):
        held[coupling.GLOBAL] = whole // (stated if isinstance(stated, int) else 1) * parallel
    return held


def plain(value: object) -> Value:
    if isinstance(value, (list, tuple)):
        return [item for item in value if isinstance(item, (bool, int, float, str))]
    return value if isinstance(value, (bool, int, float, str)) else None
