"""Blocks of 'key = value' lines under a title: '***** eval metrics *****' and its relatives."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

_TITLE = re.compile(
    r"[*=#]{3,}\s*(\w+)\s+(?:metrics|results?)\b[^*=#]{0,80}[*=#]{3,}", re.IGNORECASE
)
# behind whatever a logger puts before it
_ITEM = re.compile(r"(?:^|[\s:>-])([A-Za-z_][\w./-]{0,59})\s+=\s+(\S{1,40})\s*$")


@dataclass(slots=True)
class ConsoleSection:
    """One block: the word of its title in lower case, where it begins, and its numbers."""

    title: str
    line: int
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Sections:
    """Fed with lines; hands out each block when it is over."""

    _open: ConsoleSection | None = None

    def feed(self, number: int, text: str) -> tuple[bool, ConsoleSection | None]:
        """Say whether the line is of a block, and give the block that it ends."""
        title = _TITLE.search(text)
        if title is not None:
            return True, self._start(ConsoleSection(title[1].lower(), number))
        if self._open is None:
            return False, None
        item = _ITEM.search(text)
        if item is None:
            return False, self._start(None)
        with contextlib.suppress(ValueError):  # a duration or a count with a unit
            self._open.numbers[item[1]] = float(item[2].replace(",", ""))
        return True, None

    def finish(self) -> ConsoleSection | None:
        return self._start(None)

    def _start(self, following: ConsoleSection | None) -> ConsoleSection | None:
        over, self._open = self._open, following
        return over if over is not None and over.numbers else None
