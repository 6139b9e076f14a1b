"""`advise PATH` without a command is `advise check PATH`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from advisor.errors import AdvisorError

# In the order of the help; each is a function in a module of the same name.
COMMANDS = (
    "check",
    "watch",
    "fix",
    "compare",
    "explain",
    "rules",
    "train",
    "sweep",
    "tune",
    "report",
    "demo",
)


def command_of(words: Sequence[str]) -> str | None:
    """Return the single command of a command line; None if all commands are needed."""
    first = words[0] if words else "-"
    if first in COMMANDS:
        return first
    return None if first.startswith("-") or not _looks_like_path(first) else "check"


class PathOrCommand(TyperGroup):
    """A command group in which a path means `check` of that path."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            if not _looks_like_path(name):
                from difflib import get_close_matches

                near = get_close_matches(name, COMMANDS, 1, 0.6)
                hint = f"did you mean `advise {near[0]}`?" if near else "see `advise --help`"
                raise AdvisorError(f"{name}: no such command, file or folder; {hint}")
            args = ["check", *args]
        return super().resolve_command(ctx, args)


def _looks_like_path(word: str) -> bool:
    return Path(word).exists() or any(mark in word for mark in "/\\.")
