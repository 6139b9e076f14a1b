"""What a user may say about reading: names that cannot be guessed, and the part to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``map``: canonical name -> column of the log. ``steps``: first and last step to judge."""

    map: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[int | None, int | None] | None = None


DEFAULT = ReadOptions()
