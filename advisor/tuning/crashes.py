"""Crashes of the start's own run: it is tried again, and given up where it crashes the same way."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from advisor.errors import AdvisorError

MOST = 3  # crashes with one text, and runs in a row that vanished
_OURS_MENDABLE = 2  # our trainer's exit status for what the user can mend
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


class NoResult(AdvisorError):
    """No run came to a result: exit status 1, for the config was not at fault."""


@dataclass(slots=True)
class Crashes:
    """Counts of this loop; a loop that is resumed begins anew, the cause may be mended."""

    texts: Counter[str] = field(default_factory=Counter)
    lost: Counter[Path] = field(default_factory=Counter)

    def of_start(self, said: str, status: int, folder: Path, ours: bool) -> None:
        """Note a crash; raise where trying again is of no use."""
        if ours and status == _OURS_MENDABLE:
            raise AdvisorError(said.removeprefix("train: "))
        if status == 127:
            raise AdvisorError(said)
        if status == 0:
            raise NoResult(f"{folder}: the run went through, but {said}; begin again when it does")
        text = _NUMBER.sub("0", said)
        self.texts[text] += 1
        if self.texts[text] >= MOST:
            raise NoResult(
                f"{folder}: the config as it is crashed {MOST} times with: {said}; mend that first,"
                " then go on with --resume"
            )
        if self.texts.total() >= 2 * MOST:
            raise NoResult(f"{folder}: the config as it is crashed {2 * MOST} times: {said}")

    def note_lost(self, folder: Path) -> None:
        """Note a run whose keeper vanished (a kill, no memory left)."""
        self.lost[folder] += 1
        if self.lost[folder] >= MOST:
            raise NoResult(
                f"{folder}: its process was killed from outside {MOST} times; is the machine out of"
                " memory? --resume goes on"
            )
