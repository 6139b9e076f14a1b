"""Rank the causes of a rule by what is known about the run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from advisor.rulebook.condition import Lookup, parse
from advisor.rulebook.rule import Cause

# of its share: a condition that cannot be judged neither supports nor excludes a cause
_UNKNOWN = 0.25

_parse = lru_cache(maxsize=1024)(parse)


def rank_causes(causes: Iterable[Cause], lookup: Lookup) -> tuple[tuple[str, float], ...]:
    """Return (cause, probability), most likely first.

    Entries whose `when` holds count in full, entries that cannot be judged by a quarter, others not
    at all. Entries of one cause add up, and all are scaled to a sum of 1.
    """
    shares: dict[str, float] = {}
    for cause in causes:
        holds = _parse(cause.when).evaluate(lookup) if cause.when else True
        weight = _UNKNOWN if holds is None else float(holds)
        if weight:
            shares[cause.name] = shares.get(cause.name, 0.0) + weight * cause.share
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return tuple((name, round(share / total, 3)) for name, share in ranked)
