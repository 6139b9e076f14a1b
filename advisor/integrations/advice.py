"""The part that all integrations share: a Monitor, its output, and a guard against our bugs."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from advisor.errors import AdvisorError
from advisor.findings import SEVERITIES, Report, Severity
from advisor.monitor import Change, Monitor, Policy
from advisor.monitor.command import OnFinding
from advisor.pipeline import fault_of_ours
from advisor.readers import names
from advisor.report.escaping import one_line
from advisor.report.live_lines import change_json, change_text
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Config

Say = Callable[[str], object]
Asked = Literal["", "act", "stop"]
# Only a trainer that can roll back to a checkpoint acts on these; here they are only reported.
NEED_ROLLBACK = ("spikes", "grad_spikes", "spike")


class Advice:
    """Live advice for one training, in any trainer.

    Findings below ``severity`` appear only in the report. The constructor raises AdvisorError for
    a wrong argument, before the training begins; after that nothing raises: a bug of ours is
    reported once, and the advice switches itself off.
    """

    def __init__(
        self,
        policy: Policy | str | Mapping[str, object] = "warn",
        *,
        say: Say | None = None,
        on_finding: str | None = None,
        severity: Severity = "warning",
        rulebook: Rulebook | None = None,
    ) -> None:
        if severity not in SEVERITIES:
            raise AdvisorError(f"severity: '{severity}' is none of {', '.join(SEVERITIES)}")
        self._floor = SEVERITIES.index(severity)
        self.policy = Policy.parse(policy)
        self.rulebook = load_rules() if rulebook is None else rulebook
        self.policy.check(self.rulebook)
        self.monitor: Monitor | None = None
        self.asked: Asked = ""  # the strongest request so far: '', 'act' or 'stop'
        self._say = _print if say is None else say
        self._command = None if on_finding is None else OnFinding(on_finding, sink=self._say)
        self._path = ""
        self._off = self.policy.mode == "off"
        self._is_over = False

    def start(
        self,
        config: Callable[[], Config | Mapping[str, object]],
        facts: Callable[[], Mapping[str, object]] = dict,
        path: str = "",
    ) -> None:
        """Begin a run; continue without ``config`` or ``facts`` where one of them fails."""

        def begin() -> None:
            self._path, self._is_over = path, False
            found = self._try(config, {})
            known = self._try(facts, {})
            self.monitor = Monitor(
                found, self.policy, rulebook=self.rulebook, facts=known, path=path, sink=self._say
            )

        self.asked = ""
        self._guard(begin)

    def observe(self, step: int, metrics: Mapping[str, Any]) -> Asked:
        """Take a row of metrics; return what the policy asks of the trainer now."""
        row = {str(name): value for name, value in metrics.items() if _is_metric(name, value)}
        return self._take(lambda monitor: monitor.observe(int(step), **row) if row else ())

    def event(self, kind: str, text: str = "", step: int | None = None) -> Asked:
        """Take an event; return what the policy asks of the trainer now."""
        return self._take(lambda monitor: monitor.event(kind, text, step))

    def fact(self, name: str, value: object) -> None:
        """Take a fact about the run that is not a metric, such as ``max_steps``."""
        if self.monitor is not None and not self._off:
            self.monitor.fact(name, value)

    def report(self) -> Report | None:
        """Return the Report so far, None before the start or once switched off."""
        return None if self.monitor is None or self._off else self._try(self.monitor.report, None)

    def close(self) -> None:
        """End the run: print the findings that waited for its end, and its status."""
        self._take(lambda monitor: monitor.close())
        self._is_over = True  # a test after the training is not part of it
        report = self.report()
        if report is not None:
            codes = ", ".join(f.code for f in report.findings if f.severity != "info")
            self.print_line(
                f"the run is {report.status}" + (f"; these stand: {codes}" if codes else "")
            )
        if self._command is not None:
            self._guard(self._command.close)

    def print_line(self, text: str) -> None:
        """Print a line; a closed console must not stop the training."""
        with suppress(Exception):
            self._say(f"advise: {text}")

    def _take(self, look: Callable[[Monitor], tuple[Change, ...]]) -> Asked:
        found: list[Asked] = [""]

        def whole() -> None:
            if self.monitor is None or self._is_over:
                return
            for change in look(self.monitor):
                if SEVERITIES.index(change.finding.severity) < self._floor:
                    continue
                self.print_line(one_line(change_text(change)))
                if change.kind == "raised" and self._command is not None:
                    self._command.run(change_json(change, self._path))
                found.append(self._asks(change))

        self._guard(whole)
        asked: Asked = "stop" if "stop" in found else "act" if "act" in found else ""
        if asked and self.asked != "stop":
            self.asked = asked
        return asked

    def _asks(self, change: Change) -> Asked:
        if change.kind == "withdrawn" or change.action == "warn":
            return ""
        if change.action == "act" and change.finding.symptom in NEED_ROLLBACK:
            return ""
        return change.action

    def _try(self, ask: Callable[[], Any], otherwise: Any) -> Any:
        """Return the answer of ``ask``, or ``otherwise`` if it fails."""
        try:
            return ask()
        except Exception:
            if os.environ.get("ADVISE_DEBUG"):
                raise
            return otherwise

    def _guard(self, do: Callable[[], object]) -> None:
        if self._off:
            return
        try:
            do()
        except Exception as error:
            if os.environ.get("ADVISE_DEBUG"):
                raise
            self._off = True
            fault = fault_of_ours(error)
            self.print_line(f"the advice is off, the training goes on: {fault}")


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _is_metric(name: object, value: object) -> bool:
    """Return whether a value is a plain number, not a tensor: reading one waits for its device."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if isinstance(value, float) or abs(value) < 2**53:
        return str(name) not in ("step", "self") and names.plain(str(name)) not in names.SUMMARY
    return False


def finite_steps(value: object) -> int | None:
    """Return a planned number of steps or epochs, None where it is not a finite number above 0."""
    known = isinstance(value, int | float) and math.isfinite(value) and 0 < value < 1e12
    return int(value) if known and isinstance(value, int | float) else None
