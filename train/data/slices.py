"""The split that a config names: ``train``, ``train[:256]``, ``train[10%:20%]``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from train.errors import DataError

_SPLIT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<first>-?\d{1,18}%?)?:(?P<last>-?\d{1,18}%?)?\])?")


@dataclass(frozen=True, slots=True)
class Split:
    """``first`` and ``last`` as they were written; '' is open."""

    name: str
    first: str = ""
    last: str = ""

    def bounds(self, size: Callable[[], int]) -> tuple[int, int | None]:
        """Return rows [first, last); ``size`` is asked only where the answer hangs on it."""
        first = _place(self.first, size) if self.first else 0
        return first, _place(self.last, size) if self.last else None


def _place(text: str, size: Callable[[], int]) -> int:
    if text.endswith("%"):
        share = int(text[:-1]) / 100
        return max(0, round(size() * (share if share >= 0 else 1 + share)))
    place = int(text)
    return place if place >= 0 else max(0, size() + place)


def parse_split(text: str | None) -> Split:
    if text is None:
        return Split("train")
    found = _SPLIT.fullmatch(text.replace(" ", ""))
    if found is None:
        raise DataError(
            f"dataset.split: {text!r} is not understood; write train, train[:256] or train[10%:20%]"
        )
    return Split(found["name"], found["first"] or "", found["last"] or "")
