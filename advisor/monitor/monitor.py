"""The Monitor: takes the metrics of a run in progress, returns Changes of its findings."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from advisor.diagnosis import diagnose_view
from advisor.errors import AdvisorError
from advisor.findings import Finding, Report
from advisor.monitor.changes import Change, Look, Tracker
from advisor.monitor.looks import FLAT_FROM, Kind, Looks
from advisor.monitor.policy import Policy
from advisor.monitor.schedule import LookSchedule
from advisor.monitor.screens import Screens
from advisor.monitor.stream import CLOSING, FAILURES, MOST_EVENTS, Stream
from advisor.pipeline import fault_of_ours, with_plan
from advisor.readers import names
from advisor.readers.numbers import to_float
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Config, Event, Run

URGENT = frozenset(("nonfinite", "zero", "spike", "rise", "gradient", "event"))
Changes = tuple[Change, ...]
T = TypeVar("T")


class Monitor:
    """Watches one run: give it each logged row, and it returns the findings to report.

    Metrics are plain numbers, under any name that a log may use. Other values are skipped and
    reported once; a tensor, too, because reading it would make the device wait. Only the
    constructor raises (AdvisorError): a later bug of ours is reported once on ``sink``, and the
    Monitor switches itself off. ``clock`` returns seconds: slow steps leave time for more looks.
    """

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = Policy.parse(policy)
        self.rulebook = load_rules() if rulebook is None else rulebook
        self.policy.check(self.rulebook)
        own = config if isinstance(config, Config) else Config(dict(config or {}))
        self.is_off = self.policy.mode == "off"
        self._stream = Stream(own, path, id, dict(facts or {}))
        self._sink = sink or (lambda text: print(text, file=sys.stderr))
        self._screens, self._schedule = Screens(), LookSchedule(clock)
        self._looks = Looks(self.rulebook)
        self._tracker = Tracker(self.policy)
        self._roles: dict[str, str] = {}
        self._step = 0
        self._has_refused = False
        self._schedule.start()

    def observe(self, step: int, **metrics: object) -> Changes:
        """Take a logged row of metrics; return the changes to report."""
        if self.is_off:
            return ()
        try:
            return self._observe(step, metrics)
        except Exception as error:
            self._switch_off(error)
            return ()

    def event(self, kind: str, text: str = "", step: int | None = None) -> Changes:
        """Take an event, such as 'resume' or 'oom'; return the changes to report."""
        return self._guard(lambda: self._event(Event(kind, text, step)), ())

    def fact(self, name: str, value: object) -> None:
        """Take a fact about the run that is not a metric, such as ``max_steps``."""
        self._stream.facts[name] = value

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings of all rules on everything seen so far, as `advise check` does."""
        return self.report().findings

    def report(self) -> Report:
        """Return the Report, with its plan, on everything seen so far."""
        off = ("the Monitor is switched off: nothing is judged",)
        nothing = Report(Run(self._stream.path, "live", {}, notes=off), "unknown")
        return self._guard(self._report, nothing)

    def __str__(self) -> str:
        return str(self.report())

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def close(self) -> Changes:
        """End the run: evaluate the rules that wait for its end, and return the changes."""
        return self._guard(self._close, ())

    def _observe(self, step: int, metrics: Mapping[str, object]) -> Changes:
        step = int(step)
        self._step = max(self._step, step)
        self._schedule.pass_row()
        row, epoch = self._pick_numbers(metrics)
        if not row:
            return ()
        self._stream.add(step, row, epoch)
        why = self._find_reason(row)
        rows = self._stream.rows
        if self._schedule.wants_full(rows):
            return self._look("full", why in URGENT)
        if why and self._schedule.wants_quick(rows, why, why in URGENT or why == "eval"):
            return self._look("eval" if why == "eval" else "quick", why in URGENT)
        if self._is_early() or not self._schedule.wants_flat(rows):
            return ()
        return self._look("flat", False)

    def _is_early(self) -> bool:
        """Return whether the run is too young for a flat loss to mean anything."""
        planned = self._stream.facts.get("max_steps")
        return isinstance(planned, int | float) and self._step < FLAT_FROM * planned

    def _pick_numbers(self, metrics: Mapping[str, object]) -> tuple[dict[str, float], float | None]:
        """Return the numeric metrics of a row by native name, and its epoch."""
        row: dict[str, float] = {}
        epoch: float | None = None
        closing = CLOSING in metrics
        for native, value in metrics.items():
            role = self._roles.get(native)
            if role is None:
                role = self._roles[native] = _role(native)
            if isinstance(value, str):
                value = to_float(value)  # 'nan' in JSON
            if isinstance(value, bool) or not isinstance(value, float | int | np.number):
                self._refuse(native, value)
            elif role == "epoch":
                epoch = float(value)
            elif role and not (closing and native in ("train_loss", *names.SUMMARY)):
                row[native] = float(value)
        return row, epoch

    def _refuse(self, native: str, value: object) -> None:
        if value is None or isinstance(value, str | bool | list | dict) or self._has_refused:
            return
        self._has_refused = True
        what = type(value).__name__
        self._sink(f"advise: '{native}' is a {what}, not a number: skipped; log float(value)")

    def _find_reason(self, row: Mapping[str, float]) -> str:
        """Return the most urgent reason to look now, '' for none."""
        whys = []
        for native, value in row.items():
            role = self._roles[native]
            if native == self._stream.main:
                whys.append(self._screens.see_loss(value))
            elif role == "train/grad_norm":
                whys.append(self._screens.see_grad(value))
            elif role == "train/lr":
                whys.append(self._screens.see_lr(value))
            elif role == "eval/loss":
                whys.append("eval" if value - value == 0 else "nonfinite")
        urgent = [why for why in whys if why in URGENT]
        return next(iter(urgent), "") or next(filter(None, whys), "")

    def _event(self, event: Event) -> Changes:
        events = self._stream.events
        if sum(e.kind == event.kind for e in events) < MOST_EVENTS:
            events.append(event)
        urgent = event.kind in FAILURES
        if urgent:
            self._stream.last_failures.append(event)
        return self._look("quick", True) if urgent else ()

    def _look(self, kind: Kind, urgent: bool) -> Changes:
        rows = self._stream.rows
        self._schedule.note_look(rows, kind)
        found, asked, explained = self._looks.look(self._stream.view(), kind)
        at_once = asked if urgent else ()
        return self._tracker.look(Look(found, self._step, rows, asked, at_once, explained))

    def _close(self) -> Changes:
        self._stream.facts["ended"] = True
        found, asked, explained = self._looks.look(self._stream.view(), "end")
        return self._tracker.look(Look(found, self._step, None, asked, explained=explained))

    def _report(self) -> Report:
        view = self._stream.view()
        return with_plan(diagnose_view(view, self.rulebook))

    def _guard(self, function: Callable[[], T], otherwise: T) -> T:
        """Call a function; on a bug of ours report it, switch off, and return ``otherwise``."""
        if self.is_off:
            return otherwise
        try:
            return function()
        except Exception as error:
            self._switch_off(error)
            return otherwise

    def _switch_off(self, error: Exception) -> None:
        if os.environ.get("ADVISE_DEBUG"):
            raise error
        self.is_off = True
        what = str(error) if isinstance(error, AdvisorError) else fault_of_ours(error)
        self._sink(f"advise: the advisor switches itself off, the training goes on: {what}")


def _role(native: str) -> str:
    """Return the canonical metric of a native name, 'epoch', or '' for a step or time."""
    if names.is_place(native):
        return "epoch" if names.plain(native) in names.EPOCH else ""
    return names.canonical(native)
