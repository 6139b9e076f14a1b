"""Watching a run in progress, to end it once its log or the strategy condemns it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from advisor.tuning.launch import Running
from advisor.tuning.trial import Trial

PROBED = "its steps as a probe are done"
CONDEMNED = ("nonfinite", "divergence")  # symptoms that further steps do not repair
_FIRST = 1.0  # seconds to the first look, and between looks at least
_SHARE = 20.0  # pause between looks over the time of a look: looking takes 5% of a core at most
_LOOKS = 2  # looks in a row that must agree
_HANGS = (60.0, 3.0)  # silence of a hanging run: seconds at least, and times the longest run
_TELL = 600.0  # seconds of silence before the user hears of it


@dataclass(slots=True)
class TrialPulse:
    """When a run last wrote to its folder; a run that writes nothing for long hangs."""

    folder: Path
    seen: tuple[int, ...] = ()  # modification times of all its files, in nanoseconds
    since: float = field(default_factory=time.monotonic)  # seconds, when they last changed
    reported: float = 0.0  # seconds of silence that were reported last

    def measure_silence(self) -> float:
        """Return for how many seconds nothing in the folder has changed."""
        seen = tuple(  # walk skips folders that vanish meanwhile, as unfinished checkpoints do
            _modified_at(Path(place, name))
            for place, folders, files in os.walk(self.folder)
            for name in sorted((*folders, *files))
        )
        if seen != self.seen:
            self.seen, self.since, self.reported = seen, time.monotonic(), 0.0
        return time.monotonic() - self.since

    def is_dead(self, longest: float) -> bool:
        """Return whether a run hangs: silent for three times as long as the longest run took.

        ``longest`` is in seconds; 0 where no run has ended yet, and then no run is dead.
        """
        return longest > 0 and self.measure_silence() > max(_HANGS[0], _HANGS[1] * longest)

    def is_report_due(self) -> bool:
        """Return whether to report the silence: after ten minutes, then each time it doubles.

        True counts as reported.
        """
        silent = self.measure_silence()
        if silent <= max(_TELL, 2 * self.reported):
            return False
        self.reported = silent
        return True


def _modified_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(slots=True)
class Watch:
    """The state of watching one run."""

    last_step: int | None = None  # the step at which to stop another trainer's probe
    symptom: str = ""  # for which the run was ended, '' for another reason
    over: bool = False  # whether it was told to end
    _suspect: str = ""  # the symptom of the last look, or "hopeless"
    _looks: int = 0  # looks in a row that agree on it
    _next: float = field(default_factory=lambda: time.monotonic() + _FIRST)  # seconds

    def is_due(self) -> bool:
        """Return whether it is time for the next look."""
        return time.monotonic() >= self._next

    def look(
        self,
        running: Running,
        read: Callable[[], Trial | None],
        hopeless: Callable[[Trial], str],
    ) -> None:
        """Read the log, and end the run once two looks in a row agree that it is lost."""
        began = time.monotonic()
        trial = read()
        self._next = time.monotonic() + max(_FIRST, _SHARE * (time.monotonic() - began))
        if trial is None:
            return
        if self.last_step is not None and _last_step(trial) >= self.last_step:
            self.end(running, "", PROBED)
            return
        symptom = next(
            (f.symptom for f in trial.findings if f.severity == "error" and f.symptom in CONDEMNED),
            "",
        )
        why = f"ended early: {symptom}" if symptom else hopeless(trial)
        self._looks = self._looks + 1 if why and (symptom or "hopeless") == self._suspect else 1
        self._suspect = (symptom or "hopeless") if why else ""
        if why and self._looks >= _LOOKS:
            self.end(running, self._suspect, why)

    def end(self, running: Running, symptom: str, why: str) -> None:
        """Tell the run to end for good."""
        self.symptom, self.over = symptom, True
        running.stop(why)


def _last_step(trial: Trial) -> int:
    return int(trial.loss_steps[-1]) if trial.loss_steps.size else -1
