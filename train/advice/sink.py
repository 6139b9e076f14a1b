"""The advisor as a sink: it passes every record on, and shows it to the Monitor.

What the Monitor says becomes an Event of the run. Nothing that goes wrong in here reaches the
training: the advisor switches itself off with one notice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from advisor.findings import Edit
from advisor.monitor import Change
from advisor.pipeline import fault_of_ours
from advisor.readers import names
from train.advice.messages import KIND, details_of, text_of
from train.metrics.records import EventRecord, Record, StepRecord, ValidationRecord
from train.metrics.sinks import Sink

# Of a step's row: what signals read. The rest costs time and says nothing to a rule. The names
# are those under which a run is read back: a second name would begin a second curve.
_METRICS = {
    name: names.canonical(name)
    for name in ("loss", "grad_norm", "lr", "mem", "tps", "time_step", "time_data")
}
_HAPPENINGS = ("exception", "oom", "resume", "checkpoint", "overflow_skip", "warning")
_FACTS = ("max_steps", "steps_per_epoch", "num_train_epochs")


class MonitorLike(Protocol):
    """The part of the Monitor that is used."""

    def observe(self, step: int, **metrics: float) -> tuple[Change, ...]: ...

    def event(self, kind: str, text: str = "", step: int | None = None) -> tuple[Change, ...]: ...

    def fact(self, name: str, value: object) -> None: ...

    def report(self) -> Any: ...

    def close(self) -> tuple[Change, ...]: ...


class Runner(Protocol):
    """Runs the user's command with a text, without waiting for it."""

    def run(self, text: str) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LoggedPast:
    """What was logged before, for a Monitor that starts within a run: rows and events in order.

    ``told`` holds the codes of findings that need not be told again.
    """

    rows: Sequence[tuple[int, Mapping[str, float]]] = ()
    events: Sequence[tuple[str, str, int | None]] = ()
    facts: Mapping[str, object] = field(default_factory=dict)  # what the advisor did
    told: frozenset[str] = frozenset()


class AdvisorSink:
    """A Sink around the run's own. ``heard`` also gets the Monitor's changes."""

    def __init__(
        self,
        out: Sink,
        new_monitor: Callable[[], MonitorLike],
        past: Callable[[int], LoggedPast] = lambda step: LoggedPast(),
        runner: Runner | None = None,
    ) -> None:
        self._out, self._new_monitor, self._past, self._runner = out, new_monitor, past, runner
        self._monitor: MonitorLike | None = None
        self._facts: dict[str, object] = {}
        self._checkpoints: dict[int, str] = {}
        self._off = False
        self._told: set[str] = set()  # before this Monitor began
        self.on_changes: Callable[[Sequence[Change]], object] = lambda changes: None
        self._guard(self._begin)

    def write(self, record: Record) -> None:
        """Pass a record on, show it to the Monitor, and report what that finds."""
        last = isinstance(record, EventRecord) and record.kind == "end"
        if last:
            self._guard(self._end)
        self._out.write(record)
        if not last:
            self._guard(lambda: self._see(record))

    def close(self, status: str) -> None:
        if self._runner is not None:
            self._guard(self._runner.close)
        self._out.close(status)

    def say(self, kind: str, step: int, text: str) -> None:
        """Write an Event of the advisor."""
        self._out.write(EventRecord(kind=kind, text=text, timestamp=time.time(), step=step))

    def rewind(self, step: int) -> None:
        """Forget what was logged from a step on, which will be repeated."""
        self._guard(lambda: self._begin_again(step))

    def edits(self) -> Sequence[Edit]:
        """Return the edits of the run's plan so far; none if that fails."""
        found: list[Edit] = []

        def look() -> None:
            if self._monitor is not None:
                found.extend(self._monitor.report().plan.edits)

        self._guard(look)
        return found

    @property
    def on(self) -> bool:
        return not self._off

    def _begin(self) -> None:
        self._monitor = self._new_monitor()

    def _begin_again(self, step: int) -> None:
        monitor = self._new_monitor()
        for name, value in self._facts.items():
            monitor.fact(name, value)
        past = self._past(step)
        for name, value in past.facts.items():
            monitor.fact(name, value)
        for kind, text, at in past.events:
            monitor.event(kind, text, at)
        for at, metrics in past.rows:
            monitor.observe(at, **metrics)
        self._monitor, self._told = monitor, set(past.told)

    def _see(self, record: Record) -> None:
        monitor = self._monitor
        if monitor is None:
            return
        if isinstance(record, StepRecord):
            row = {name: getattr(record, own) for own, name in _METRICS.items()}
            self._tell(monitor.observe(record.step, epoch=record.epoch, **row))
        elif isinstance(record, ValidationRecord):
            name = "eval/loss" if record.name == "default" else f"eval/{record.name}/loss"
            self._tell(monitor.observe(record.step, epoch=record.epoch, **{name: record.val_loss}))
        else:
            self._write_event(monitor, record)

    def _write_event(self, monitor: MonitorLike, record: EventRecord) -> None:
        if record.kind == "start":
            known = {name: record.details.get(name) for name in _FACTS}
            self._state(monitor, {k: v for k, v in known.items() if v is not None})
            self._state(monitor, {"fp32_masters": True})
        if record.kind == "checkpoint" and record.step is not None:
            self._checkpoints[record.step] = str(record.details.get("name", ""))
            self._state(monitor, {"checkpoints": dict(self._checkpoints)})
        if record.kind == "resume" and record.step:
            self._begin_again(record.step)
        elif record.kind in _HAPPENINGS:
            self._tell(monitor.event(record.kind, record.text, record.step))

    def _state(self, monitor: MonitorLike, facts: Mapping[str, object]) -> None:
        for name, value in facts.items():
            self._facts[name] = value
            monitor.fact(name, value)

    def _end(self) -> None:
        if self._monitor is not None:
            self._tell(self._monitor.close())
            self._monitor = None

    def _tell(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.finding.severity == "info":  # remarks are check's: a healthy run is silent
                continue
            if change.kind == "raised" and change.finding.code in self._told:
                self._told.discard(change.finding.code)
                continue
            event = EventRecord(
                kind=KIND,
                text=text_of(change),
                timestamp=time.time(),
                step=change.step,
                details=details_of(change),
            )
            self._out.write(event)
            if self._runner is not None:
                self._runner.run(json.dumps({**event.details, "step": change.step}))
        if changes:
            self.on_changes(changes)

    def _guard(self, act: Callable[[], None]) -> None:
        if self._off:
            return
        try:
            act()
        except Exception as error:  # whatever it is, the run matters more
            if os.environ.get("ADVISE_DEBUG"):
                raise
            self._off, self._monitor = True, None
            self.notice(error)

    def notice(self, error: Exception) -> None:
        """Report once that the advisor is off."""
        what = " ".join(str(error).split()) if _is_ours(error) else fault_of_ours(error)
        text = f"the advisor is off for the rest of the run, which goes on: {what[:400]}"
        self._out.write(EventRecord(kind="notice", text=text, timestamp=time.time()))


def _is_ours(error: Exception) -> bool:
    from advisor.errors import AdvisorError

    return isinstance(error, AdvisorError)
