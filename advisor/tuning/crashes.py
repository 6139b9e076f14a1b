"""Retries of a start run that crashes, until it has crashed too often in the same way."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from advisor.errors import AdvisorError

MOST = 3  # crashes with the same message, or losses of the same run, before giving up
_USER_ERROR = 2  # our trainer's exit status for an error that the user can fix
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


class NoResult(AdvisorError):
    """No run produced a result: exit status 1, since the config is not at fault."""


@dataclass(slots=True)
class Crashes:
    """Crash counts of one loop; ``--resume`` starts at zero, since the cause may be fixed."""

    texts: Counter[str] = field(default_factory=Counter)  # by message, its numbers replaced
    lost: Counter[Path] = field(default_factory=Counter)  # by folder: runs whose keeper vanished

    def count_start(self, said: str, status: int, folder: Path, ours: bool) -> None:
        """Count a crash of the start run; raise NoResult or AdvisorError where a retry is useless.

        ``said`` is the last line of its output, ``status`` its exit status.
        """
        if ours and status == _USER_ERROR:
            raise AdvisorError(said.removeprefix("train: "))
        if status == 127:
            raise AdvisorError(said)
        if status == 0:
            raise NoResult(f"{folder}: the run succeeded, but {said}; start again once it does")
        text = _NUMBER.sub("0", said)
        self.texts[text] += 1
        if self.texts[text] >= MOST:
            raise NoResult(
                f"{folder}: the config as it is crashed {MOST} times with: {said}; fix that first,"
                " then continue with --resume"
            )
        if self.texts.total() >= 2 * MOST:
            raise NoResult(f"{folder}: the config as it is crashed {2 * MOST} times: {said}")

    def count_lost(self, folder: Path) -> None:
        """Count a run whose keeper was killed, for example for lack of memory."""
        self.lost[folder] += 1
        if self.lost[folder] >= MOST:
            raise NoResult(
                f"{folder}: its process was killed from outside {MOST} times; is the machine out of"
                " memory? --resume continues"
            )
