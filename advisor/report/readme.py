"""The sample output in README.md: `advise` on a bundled run, renewed by `make docs`."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

SHOWN = "presets/demo/rate-too-high"
WIDTH = 100
_BLOCK = re.compile(r"(<!-- sample: [^\n]*-->\n```\n).*?(```\n<!-- /sample -->)", re.DOTALL)


def sample(root: Path) -> str:
    """Return the command and its output, as from the root of a checkout."""
    from rich.console import Console

    from advisor.pipeline import Request, check_paths
    from advisor.report.text import show_reports
    from advisor.rulebook.load import load_rules

    with contextlib.chdir(root):
        reports, failures = check_paths([Path(SHOWN)], load_rules(), Request())
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    with console.capture() as printed:
        show_reports(console, reports, failures)
    lines = [line.rstrip() for line in printed.get().splitlines()]
    return "\n".join([f"$ advise {SHOWN}", *lines]).rstrip() + "\n"


def readme(root: Path) -> str:
    """Return README.md with a new sample."""
    text = (root / "README.md").read_text(encoding="utf-8")
    shown = sample(root)
    return _BLOCK.sub(lambda block: f"{block[1]}{shown}{block[2]}", text)
