"""Tables in the middle of a log (a notebook's progress, fastai's, markdown), and sections: blocks
of 'key = value' lines under a title such as '***** eval metrics *****'.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field

from advisor.readers import names
from advisor.readers.numbers import to_float

MOST_COLUMNS = 60
_BORDER = re.compile(r"^[\s|+:=─━┃│\-]*$")
_MISSING = re.compile(r"\bNo log\b|\bN/A\b|(?<!\w)(?:-|--|None|n/a)(?!\w)", re.IGNORECASE)
_CLOCK = re.compile(r"^\d+:\d\d(:\d\d)?$")
_HOLE = "\x00"
# Column names of two words, which are joined before a header is split at single blanks.
_PHRASES = re.compile(
    r"\b(training|train|validation|valid|val|eval|test|learning|grad|token)"
    r" (loss|accuracy|acc|rate|norm|ppl|perplexity)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"[*=#]{3,}\s*(\w+)\s+(?:metrics|results?)\b[^*=#]{0,80}[*=#]{3,}", re.IGNORECASE
)
# a logger's prefix may precede it
_SECTION_ITEM = re.compile(r"(?:^|[\s:>-])([A-Za-z_][\w./-]{0,59})\s+=\s+(\S{1,40})\s*$")


@dataclass(slots=True)
class Stack:
    """A table copied from a page, one cell per line: names first, then the numbers of each row."""

    names: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    def feed(self, text: str) -> tuple[bool, dict[str, float] | None]:
        """Return whether the line is a number of the table, and the row that it completes."""
        if len(text) > 80 or not (cell := text.strip()):
            return False, None
        number = bool(_MISSING.fullmatch(cell) or _CLOCK.match(cell)) or to_float(cell) is not None
        if not number:
            self._begin(cell)
            return False, None
        if not self._is_header():
            self._begin("")
            return False, None
        self.cells.append(cell)
        if len(self.cells) < len(self.names):
            return True, None
        row = {k: v for k, v in zip(self.names, map(to_float, self.cells), strict=True)
               if v is not None}  # fmt: skip
        self.cells.clear()
        return True, row

    def _begin(self, cell: str) -> None:
        """Add a name to the header, or start a new header with it."""
        if self.cells or not (self.names or _is_place(names.plain(cell))):
            self.names.clear()
            self.cells.clear()
        if _is_name(cell) and (self.names or _is_place(names.plain(cell))):
            self.names = [*self.names, cell][-MOST_COLUMNS:]
        else:
            self.names.clear()

    def _is_header(self) -> bool:
        known = [names.plain(name) for name in self.names]
        return len(known) > 1 and any(n.endswith("loss") and names.is_known(n) for n in known)


@dataclass(slots=True)
class Table:
    """The header of a table, whose rows may follow."""

    header: tuple[str, ...]
    mark: str  # what separates cells
    rows: int = 0  # read so far


@dataclass(slots=True)
class ConsoleSection:
    """One section and its numbers."""

    title: str  # the word before 'metrics' or 'results', in lower case
    line: int  # of the title
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Sections:
    """Collects the sections of a log, fed line by line."""

    _open: ConsoleSection | None = None

    def feed(self, number: int, text: str) -> tuple[bool, ConsoleSection | None]:
        """Return whether the line belongs to a section, and the section that it ends, if any."""
        title = _TITLE.search(text)
        if title is not None:
            return True, self._replace(ConsoleSection(title[1].lower(), number))
        if self._open is None:
            return False, None
        item = _SECTION_ITEM.search(text)
        if item is None:
            return False, self._replace(None)
        with contextlib.suppress(ValueError):  # a duration or a count with a unit
            self._open.numbers[item[1]] = float(item[2].replace(",", ""))
        return True, None

    def finish(self) -> ConsoleSection | None:
        """Return the section that the end of the log ends, if any."""
        return self._replace(None)

    def _replace(self, following: ConsoleSection | None) -> ConsoleSection | None:
        over, self._open = self._open, following
        return over if over is not None and over.numbers else None


def header_of(text: str) -> Table | None:
    """Return the table that a line opens: a header with a step or an epoch and a loss in it."""
    if len(text) > 2_000 or ":" in text or "=" in text or "loss" not in text.lower():
        return None
    for mark in ("|", "\t", "  ", ";", ",", " "):
        cells = _cells(text, mark)
        if not 2 <= len(cells) <= MOST_COLUMNS or not all(map(_is_name, cells)):
            continue
        folded = [names.plain(cell) for cell in cells]
        losses = [n for n in folded if n.endswith("loss") and names.is_known(n)]
        if losses and len(set(folded)) == len(cells) and any(map(_is_place, folded)):
            return Table(tuple(cells), mark)
    return None


def row_of(table: Table, text: str) -> dict[str, float] | None:
    """Return name -> number of a row of the table; None where the line is no row of it."""
    if len(text) > 4_000:
        return None
    cells = _cells(_MISSING.sub(_HOLE, text), table.mark)
    if len(cells) != len(table.header) and table.mark == "\t":
        cells = _cells(_MISSING.sub(_HOLE, text), " ")  # a copied table loses its tabs
    if len(cells) != len(table.header):
        return None
    found: dict[str, float] = {}
    for name, cell in zip(table.header, cells, strict=True):
        number = to_float(cell)
        if number is not None:
            found[name] = number
        elif cell not in ("", _HOLE) and not _CLOCK.match(cell) and names.is_known(name):
            return None
    return found if any(map(_is_place, map(names.plain, found))) else None


def is_border(text: str) -> bool:
    """Return whether a line is only a rule, as between a header and its rows."""
    return bool(_BORDER.match(text))


def _cells(text: str, mark: str) -> list[str]:
    text = text.strip(" \r\n")
    if mark == "|":
        parts = [part.strip() for part in text.strip("|").split("|")]
        return parts if len(parts) > 1 else []
    if mark == "  ":
        return [part for part in re.split(r"\s{2,}", text) if part]
    if mark == " ":
        return [part.replace("\x01", " ") for part in _PHRASES.sub("\\1\x01\\2", text).split()]
    return [part.strip() for part in text.strip("\t").split(mark)]


def _is_name(cell: str) -> bool:
    return bool(re.match(r"^[A-Za-z#][\w #/()%.@-]{0,60}$", cell)) and ":" not in cell


def _is_place(folded: str) -> bool:
    return folded in names.STEP or folded in names.EPOCH
