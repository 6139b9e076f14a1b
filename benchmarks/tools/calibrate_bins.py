"""Reliability: findings in bins of confidence, and the expected calibration error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)


def bins_of(pairs: Sequence[tuple[float, bool]]) -> list[list[float]]:
    """Of each bin that holds findings: mean confidence, share right, findings."""
    found = []
    for low, high in itertools.pairwise(EDGES):
        inside = [(p, right) for p, right in pairs if low < p <= high]
        if inside:
            mean = sum(p for p, _ in inside) / len(inside)
            share = sum(right for _, right in inside) / len(inside)
            found.append([round(mean, 4), round(share, 4), len(inside)])
    return found


def expected_error(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Mean distance of confidence and share right over the bins, weighed by their findings."""
    if not pairs:
        return None
    total = sum(n * abs(mean - share) for mean, share, n in bins_of(pairs))
    return round(total / len(pairs), 4)
