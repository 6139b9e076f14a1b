"""Shuffles that are a pure function of seed and epoch, the same on every machine for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1


def shuffle(count: int, seed: int, *salt: int) -> NDArray[np.int64]:
    """Return the numbers below ``count`` in the order of their hashes (splitmix64)."""
    state = seed & _MASK
    for number in salt:
        state = (state * 0x2545F4914F6CDD1D + number + 1) & _MASK
    start = int(_mix(np.array([state], dtype=np.uint64))[0])
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
        keys = _mix(steps + np.uint64(start))
    return np.argsort(keys, kind="stable")


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX2)
        return z ^ (z >> np.uint64(31))
