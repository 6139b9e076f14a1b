"""The Monitor: metrics of a running training in, Changes of what is found out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from advisor.configs import with_log
from advisor.diagnose import diagnose
from advisor.errors import AdvisorError
from advisor.findings import Finding, Report
from advisor.monitor.changes import Change, Tracker
from advisor.monitor.policy import Policy
from advisor.pipeline import fault_of_ours
from advisor.plan import make_plan
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.objective import objective_of
from advisor.readers.series import make_series
from advisor.rule import Rulebook
from advisor.rulebook import load_rules
from advisor.run import Config, Event, Run, Series

Nothing: tuple[Change, ...] = ()


class Monitor:
    """Watches one run: give it each logged row, and it says when something is to be told."""

    def __init__(
        self,
        config: Config | Mapping[str, object] | None = None,
        policy: Policy | str | Mapping[str, object] = "warn",
        *,
        rulebook: Rulebook | None = None,
        facts: Mapping[str, object] | None = None,
        path: str = "",
        id: str = "",
        sink: Callable[[str], object] | None = None,
    ) -> None:
        self.policy = Policy.parse(policy)
        self._rulebook = load_rules() if rulebook is None else rulebook
        self.policy.check(self._rulebook)
        self._config = config if isinstance(config, Config) else Config(dict(config or {}))
        self._facts = dict(facts or {})
        self._path, self._id = path, id
        self._sink = sink or (lambda text: print(text, file=sys.stderr))
        self._off = self.policy.mode == "off"
        self._columns: dict[str, tuple[list[float], list[float], list[float]]] = {}
        self._events: list[Event] = []
        self._tracker = Tracker(self.policy)
        self._step = 0
        self._rows = 0
        self._next = 20

    def observe(self, step: int, **metrics: float) -> tuple[Change, ...]:
        """Take a logged row; return what is to be told."""
        return self._guarded(lambda: self._observe(step, metrics))

    def event(self, kind: str, text: str = "", step: int | None = None) -> tuple[Change, ...]:
        """Take something that happened; return what is to be told."""
        return self._guarded(lambda: self._event(Event(kind, text, step)))

    def fact(self, name: str, value: object) -> None:
        """Take what the run states beside metrics, such as ``max_steps``."""
        self._facts[name] = value

    def findings(self) -> tuple[Finding, ...]:
        """Judge all that was seen by all rules, as `advise check` would."""
        return self.report().findings

    def report(self) -> Report:
        """The whole Report of what was seen so far, with its plan."""
        run = self._run()
        report = diagnose(run, self._rulebook)
        return replace(report, plan=make_plan(report.findings, run.config, run))

    def close(self) -> tuple[Change, ...]:
        """Take the run as over: rules that wait for its end are judged now."""
        return self._guarded(self._look)

    def _observe(self, step: int, metrics: Mapping[str, float]) -> tuple[Change, ...]:
        epoch = float(metrics.get("epoch", "nan"))
        self._step = max(self._step, int(step))
        for native, value in metrics.items():
            if names.is_place(native) or not isinstance(value, int | float | np.number):
                continue
            column = self._columns.setdefault(native, ([], [], []))
            for part, number in zip(column, (float(step), float(value), epoch), strict=True):
                part.append(number)
        self._rows += 1
        if self._rows < self._next and all(np.isfinite(v) for v in metrics.values()):
            return ()
        self._next = max(self._next, int(1.25 * self._rows))
        return self._look()

    def _event(self, event: Event) -> tuple[Change, ...]:
        self._events.append(event)
        return self._look() if event.kind in ("oom", "exception") else ()

    def _look(self) -> tuple[Change, ...]:
        return self._tracker.look(diagnose(self._run(), self._rulebook).findings, self._step)

    def _run(self) -> Run:
        counts = {native: len(column[0]) for native, column in self._columns.items()}
        chosen, _ = choose(counts, {}, self._path)
        series: dict[str, Series] = {}
        for name, native in chosen.items():
            steps, values, epochs = map(np.array, self._columns[native])
            made = make_series(name, steps, values, native)
            if np.isfinite(epochs).any():
                order = {int(s): i for i, s in enumerate(steps.tolist())}
                at = [order[s] for s in made.steps.tolist()] if made else []
                made = replace(made, epochs=epochs[at]) if made else None
            if made is not None:
                series[name] = made
        facts = dict(self._facts)
        if "objective" not in facts and (objective := objective_of(series)):
            facts["objective"] = objective
        run = Run(
            self._path, "live", series, self._id, self._config, tuple(self._events), (), facts
        )
        return replace(run, config=with_log(self._config, run))

    def _guarded(self, function: Callable[[], tuple[Change, ...]]) -> tuple[Change, ...]:
        """Never let a fault of ours stop a training: say it once and switch off."""
        if self._off:
            return Nothing
        try:
            return function()
        except Exception as error:
            if os.environ.get("ADVISE_DEBUG"):
                raise
            self._off = True
            what = str(error) if isinstance(error, AdvisorError) else fault_of_ours(error)
            self._sink(f"advise: the advisor switches itself off, the training goes on: {what}")
            return Nothing
