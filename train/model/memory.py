"""The process's memory: the C library keeps large blocks instead of giving them back.

A step frees and takes the same large tensors again and again; handing them back to the system in
between costs page faults (about a tenth of a CPU step).
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
TRIM_BYTES = 2**30  # as much free memory at the end of the heap is kept
MMAP_BYTES = 2**30  # blocks below this come from the heap


def keep_freed_memory() -> bool:
    """Raise glibc's thresholds; False where the C library has none."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MMAP_BYTES) and mallopt(M_TRIM_THRESHOLD, TRIM_BYTES))
