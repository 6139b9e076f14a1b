"""The real command, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEMO = Path(__file__).resolve().parents[2] / "presets" / "demo"


def advise(
    *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `advise` with these words in a process of its own."""
    command = [sys.executable, "-m", "advisor", *map(str, words)]
    around = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=around, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def asked(*words: str | Path, cwd: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the object of a check."""
    done = advise("check", *words, "--format", "json", cwd=cwd)
    return done.returncode, json.loads(done.stdout)
