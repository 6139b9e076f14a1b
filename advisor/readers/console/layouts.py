"""Lines of pairs that are laid out alike: the first is searched for pairs, the others matched."""

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

BUDGET = 40  # layouts learnt before they must have served: compiling one costs a millisecond

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})++(?!\d)(?:\.\d++)?|\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
_ANY_NUMBER = re.compile(rf"{_NUMBER}|(?<!\w)-?(?:nan|inf)(?!\w)", re.IGNORECASE)
_CAPTURED = rf"({_NUMBER}|-?nan|-?inf)"


@dataclass(frozen=True, slots=True)
class _Layout:
    """A line with its numbers cut out: lines that match it hold the same pairs."""

    pattern: re.Pattern[str]
    roles: tuple[tuple[str, float], ...]
    example: FoundPairs

    def read(self, numbers: tuple[str, ...]) -> FoundPairs:
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
    """Return the layout of a line whose numbers are all at known places."""
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
    """Reads lines of pairs, faster where a line is laid out like one before it."""

    words: LineWords = DEFAULT
    _layouts: list[_Layout] = field(default_factory=list)
    _learnt: int = 0
    _served: int = 0

    def read(self, text: str) -> FoundPairs | None:
        """Return the pairs of one cleaned line."""
        if not self.words.hint.search(text):
            return None
        plain = "%|" not in text
        if plain:
            stripped = without_prefix(text)
            for layout in self._layouts:
                match = layout.pattern.fullmatch(stripped)
                if match:
                    self._served += 1
                    return layout.read(match.groups())
        found = parse_pairs(text, self.words)
        worth = self._learnt < BUDGET + self._served // 50
        if worth and plain and found is not None and found.spans and found.values:
            self._learnt += 1
            learnt = _layout(stripped, found)
            if learnt is not None:
                self._layouts = [learnt, *self._layouts][:LAYOUTS]
        return found
