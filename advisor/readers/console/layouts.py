"""Reading lines of pairs fast: a line is searched for pairs once, lines like it are matched."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from advisor.readers.console.pairs import (
    EPOCH,
    STEP,
    TOTAL,
    FoundPairs,
    parse_pairs,
    without_prefix,
)
from advisor.readers.console.words import DEFAULT, LineWords

LAYOUTS = 6  # layouts tried before a line is searched for pairs
BUDGET = 40  # layouts compiled (a millisecond each), and one more for every 50 matched lines

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?|\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
_ANY_NUMBER = re.compile(rf"{_NUMBER}|(?<!\w)-?(?:nan|inf)(?!\w)", re.IGNORECASE)
_CAPTURED = rf"({_NUMBER}|-?nan|-?inf)"


@dataclass(frozen=True, slots=True)
class _Layout:
    """A line as a pattern without its numbers: lines that match it hold the same pairs."""

    pattern: re.Pattern[str]
    roles: tuple[tuple[str, float], ...]  # of each number: its key, STEP, EPOCH or TOTAL; factor
    example: FoundPairs

    def read(self, numbers: tuple[str, ...]) -> FoundPairs:
        """Return the pairs of a line with these numbers."""
        like = self.example
        found = FoundPairs(
            {}, epochs=like.epochs, split=like.split, kind=like.kind, heads=like.heads
        )
        found.bare = like.bare
        for text, (role, factor) in zip(numbers, self.roles, strict=True):
            value = float(text.replace(",", "") if "," in text else text)
            if role == STEP:
                found.step = value
            elif role == EPOCH:
                found.epoch = value
            elif role == TOTAL:
                found.total = value
            else:
                found.values[role] = value * factor
        return found


def _layout(text: str, found: FoundPairs) -> _Layout | None:
    """Return the layout of a line, or None where a number of its pairs cannot be located."""
    spans = {(begin, end): (role, factor) for begin, end, role, factor in found.spans}
    pieces, roles, at = [], [], 0
    for match in _ANY_NUMBER.finditer(text):
        pieces.append(_literal(text[at : match.start()]))
        at = match.end()
        if match.span() in spans:
            pieces.append(_CAPTURED)
            roles.append(spans[match.span()])
        else:
            pieces.append(_NUMBER)
    if len(roles) != len(spans) or len(roles) > 60:
        return None
    pieces.append(_literal(text[at:]))
    return _Layout(re.compile("".join(pieces), re.IGNORECASE), tuple(roles), found)


def _literal(text: str) -> str:
    return re.sub(r"(?:\\?\s)+", lambda _: r"\s+", re.escape(text))


@dataclass(slots=True)
class PairReader:
    """Reads lines of pairs, faster if a line has the layout of an earlier one."""

    words: LineWords = DEFAULT
    _layouts: list[_Layout] = field(default_factory=list)
    _learned: int = 0
    _matched: int = 0

    def read(self, text: str) -> FoundPairs | None:
        """Return the pairs of one cleaned line; None where it holds none."""
        if not self.words.hint.search(text):
            return None
        plain = "%|" not in text
        if plain:
            stripped = without_prefix(text)
            for layout in self._layouts:
                match = layout.pattern.fullmatch(stripped)
                if match:
                    self._matched += 1
                    return layout.read(match.groups())
        found = parse_pairs(text, self.words)
        worth = self._learned < BUDGET + self._matched // 50
        if worth and plain and found is not None and found.spans and found.values:
            self._learned += 1
            learned = _layout(stripped, found)
            if learned is not None:
                self._layouts = [learned, *self._layouts][:LAYOUTS]
        return found
