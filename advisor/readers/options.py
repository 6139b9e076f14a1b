"""What is said about reading: names that cannot be guessed, the part to judge, what still grows."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``map``: canonical name -> column of the log. ``steps``: first and last step to judge.

    ``growing``: the log is being written, so that a last line without its end is left out.
    ``headers`` remembers how the columns of a table are called, by its path, for what is left
    of the table when its beginning is rotated away.
    """

    map: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[int | None, int | None] | None = None
    growing: bool = False
    headers: MutableMapping[str, list[str]] | None = None


DEFAULT = ReadOptions()
