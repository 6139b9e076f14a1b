"""Tables printed as text: a notebook's progress, fastai's, markdown, in the middle of a log."""

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
# Headers of more than one word: joined before a header is split at single blanks.
_PHRASES = re.compile(
    r"\b(training|train|validation|valid|val|eval|test|learning|grad|token)"
    r" (loss|accuracy|acc|rate|norm|ppl|perplexity)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"[*=#]{3,}\s*(\w+)\s+(?:metrics|results?)\b[^*=#]{0,80}[*=#]{3,}", re.IGNORECASE
)
# behind whatever a logger puts before it
_SECTION_ITEM = re.compile(r"(?:^|[\s:>-])([A-Za-z_][\w./-]{0,59})\s+=\s+(\S{1,40})\s*$")


@dataclass(slots=True)
class Stack:
    """Cells copied from a page, one on each line: names first, then the numbers of each row."""

    names: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    def feed(self, text: str) -> tuple[bool, dict[str, float] | None]:
        """Say whether the line is a cell, and give the row that it completes."""
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
        """A name: it goes on with the header, or opens another one."""
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
    """A header that was seen; rows may follow."""

    header: tuple[str, ...]
    mark: str
    rows: int = 0


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
        item = _SECTION_ITEM.search(text)
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


def header_of(text: str) -> Table | None:
    """Return the table that a line opens: names without numbers, a place and a loss among them."""
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
    """Return the numbers of a row below the header; None where the table has ended."""
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
    """Say whether a line is all dashes, as between a header and its rows, or between rows."""
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
