"""Looking at a run while it goes on: what its own log, or the strategy, condemns is ended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from advisor.tuning.launch import Running
from advisor.tuning.trial import Trial

PROBED = "its steps as a probe are done"
CONDEMNED = ("nonfinite", "divergence")  # errors that no more steps will mend
_FIRST, _SHARE = 1.0, 20.0  # seconds to the first look; rest between looks over their cost
_LOOKS = 2  # in a row that must agree
_HANGS = (60.0, 3.0)  # seconds of silence at least, and over the longest run so far
_TELL = 600.0  # seconds


@dataclass(slots=True)
class TrialPulse:
    """When a run last wrote anything; one that has stopped to write hangs."""

    folder: Path
    seen: tuple[int, ...] = ()
    since: float = field(default_factory=time.monotonic)
    told: float = 0.0

    def silent(self) -> float:
        """Return for how many seconds nothing has been written to console or output."""
        seen = tuple(  # walk passes by folders that vanish meanwhile: checkpoints half written
            _written(Path(place, name))
            for place, folders, files in os.walk(self.folder)
            for name in sorted((*folders, *files))
        )
        if seen != self.seen:
            self.seen, self.since, self.told = seen, time.monotonic(), 0.0
        return time.monotonic() - self.since

    def is_dead(self, longest: float) -> bool:
        """Say whether a run was silent for far longer than whole ones took; 0: none is known."""
        return longest > 0 and self.silent() > max(_HANGS[0], _HANGS[1] * longest)

    def is_to_be_told(self) -> bool:
        """Say whether people should hear that it is silent: after ten minutes, then rarer."""
        silent = self.silent()
        if silent <= max(_TELL, 2 * self.told):
            return False
        self.told = silent
        return True


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(slots=True)
class Watch:
    """What was seen of one run; ``symptom`` is set once it was ended for one."""

    last_step: int | None = None  # of a probe that is to be ended from outside
    symptom: str = ""
    over: bool = False
    _suspect: str = ""
    _looks: int = 0
    _next: float = field(default_factory=lambda: time.monotonic() + _FIRST)

    def is_due(self) -> bool:
        return time.monotonic() >= self._next

    def look(
        self,
        running: Running,
        read: Callable[[], Trial | None],
        hopeless: Callable[[Trial], str],
    ) -> None:
        """Read the log and end the run where two looks agree that it is lost."""
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
        self.symptom, self.over = symptom, True
        running.stop(why)


def _last_step(trial: Trial) -> int:
    return int(trial.loss_steps[-1]) if trial.loss_steps.size else -1
