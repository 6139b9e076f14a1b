"""Lines that wrap under their own indentation and have no trailing spaces."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

NARROW = 40  # columns assumed at least


@dataclass(frozen=True, slots=True)
class Page:
    """Collects the lines of a report for a console's width."""

    console: Console
    lines: list[Text] = field(default_factory=list)

    @property
    def width(self) -> int:
        return max(NARROW, self.console.width)

    def can_print(self, text: str) -> bool:
        """Return whether the console's encoding has these characters."""
        try:
            text.encode(self.console.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def whole(self, text: Text | str, by: int = 0) -> None:
        """Add lines unwrapped, however long: people copy paths and diffs."""
        text = Text(text) if isinstance(text, str) else text
        for line in text.split("\n"):
            self.lines.append(Text(" " * by if line else "").append_text(line))

    def add_wrapped(self, text: Text, by: int, label: Text | None = None) -> None:
        """Add text that wraps; a label goes into the margin of its first line."""
        for i, line in enumerate(text.wrap(self.console, self.width - by, overflow="fold")):
            margin = Text("")
            if i == 0 and label is not None:
                margin.append_text(label)
            margin.append(" " * (by - margin.cell_len))
            line.rstrip()
            self.lines.append(margin.append_text(line))

    def gap(self) -> None:
        self.lines.append(Text(""))

    def show(self) -> None:
        for line in self.lines:
            self.console.print(line, soft_wrap=True)
