"""Layouts of dictionaries that a log repeats: such lines are matched, not parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from advisor.readers.console.dicts import template
from advisor.readers.console.rows import NAN, Block

LEARN = 200  # templates made for one file: each costs a millisecond
KEPT = 8  # layouts tried before a line is parsed key by key
WHOLE = 10_000  # characters from which a piece is worth taking at once


@dataclass(slots=True)
class _Template:
    pattern: re.Pattern[str]
    bulk: re.Pattern[str]  # the same for a whole line among many
    block: Block
    epoch_at: int | None


@dataclass(slots=True)
class Templates:
    """The layouts seen of late; rows that fit one go to its block."""

    _known: list[_Template] = field(default_factory=list)
    _learnt: int = 0

    def learn(self, text: str, keys: tuple[str, ...], block: Block) -> None:
        """Make a template of a dictionary that was parsed."""
        if self._learnt >= LEARN:
            return
        self._learnt += 1
        pattern = template(text, keys)
        if pattern is not None:
            at = keys.index("epoch") if "epoch" in keys else None
            new = _Template(pattern, _bulk(pattern), block, at)
            self._known = [new, *self._known][:KEPT]

    def take(self, number: int, raw: str, bar: tuple[float, float]) -> bool:
        """Take one line where it fits."""
        for known in self._known:
            match = known.pattern.fullmatch(raw)
            if match:
                values = list(map(float, match.groups()))
                epoch = NAN if known.epoch_at is None else values[known.epoch_at]
                known.block.places.extend((number, NAN, NAN, epoch, *bar))
                known.block.flat.extend(values)
                return True
        return False

    def take_all(self, number: int, text: str, bar: tuple[float, float]) -> bool:
        """Take a piece of the log where all its lines fit the newest layout."""
        if not self._known or text[:1] != "{" or len(text) < WHOLE:
            return False
        known = self._known[0]
        rows = known.bulk.findall(text)
        if not rows or len(rows) != text.count("\n"):
            return False
        values = np.array([float(word) for row in rows for word in row])
        table = values.reshape(len(rows), -1)
        places = np.full((len(rows), 6), NAN)
        places[:, 0] = np.arange(number, number + len(rows))
        if known.epoch_at is not None:
            places[:, 3] = table[:, known.epoch_at]
        places[:, 4:] = bar
        known.block.flat.frombytes(values.tobytes())
        known.block.places.frombytes(places.tobytes())
        return True


def _bulk(pattern: re.Pattern[str]) -> re.Pattern[str]:
    body = pattern.pattern.removeprefix(r"\s*").removesuffix(r"\s*")
    return re.compile(rf"^{body}\n", re.MULTILINE)
