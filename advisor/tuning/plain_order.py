"""The plainest strategy: the plan's edits, one run after the other, from the best run so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from advisor.tuning.choice import best_of, verdict
from advisor.tuning.trial import Limits, Proposal, Stop, Trial

LR = "optimizer.lr"


def propose(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None
) -> Proposal | Stop:
    """Take the edits that the plan of the best run asks for; stop where there are none."""
    base = best_of(history) or history[0]
    edits = [e for e in base.edits if not _tried(history, base, e.key, e.new)]
    if not edits:
        return Stop("nothing is found that an edit of the config would mend")
    if len(history) > 2 and verdict(history[-1], history[:-1]) == "reverted":
        edits = edits[:1]
    values = {**base.values, **{e.key: e.new for e in edits}}
    because = tuple(dict.fromkeys(code for e in edits for code in e.because))
    return Proposal(values, reason=f"the plan of run {base.number}", because=because)


def _tried(history: Sequence[Trial], base: Trial, key: str, value: object) -> bool:
    return any(t.values.get(key) == value for t in history)


def hopeless(partial: Trial, history: Sequence[Trial], limits: Limits, noise: float | None) -> str:
    """Let every run go on."""
    return ""


def propose_many(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None,
    count: int,
) -> Sequence[Proposal] | Stop:  # fmt: skip
    """One at a time: each builds on the one before."""
    found = propose(history, start, limits, noise)
    return found if isinstance(found, Stop) else [found]
