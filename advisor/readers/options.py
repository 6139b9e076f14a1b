"""Options of reading: column names, the range of steps, and whether the log is still growing."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a log.

    ``map`` maps canonical names to columns of the log (--map). ``steps`` holds the first and the
    last step to keep, both included; None for no limit. A ``growing`` log is being written, so an
    unterminated last line is left out. ``headers`` remembers the column names of each table by
    its path, so that a table can still be read after rotation cut off its header.
    """

    map: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[int | None, int | None] | None = None
    growing: bool = False
    headers: MutableMapping[str, list[str]] | None = None


DEFAULT = ReadOptions()
