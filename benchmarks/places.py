"""Where things lie, and the environment of a process that measures this checkout."""

from __future__ import annotations

import os
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent
CACHE = BENCHMARKS / "cache"  # git ignores it
RESULTS = BENCHMARKS / "results"
PRESETS = ROOT / "presets"
SHARED = ROOT.parent / "shared"  # logs and data of other people: beside the checkout, or absent
SHARED_LOGS = SHARED / "logs"
SHARED_DATA = SHARED / "data"


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """This checkout is what a child imports, installed or not; it uses one thread."""
    path = os.pathsep.join(map(str, (ROOT, *folders)))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}
