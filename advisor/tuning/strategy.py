"""What a person does in three to five runs: bracket the rate by probes, then one group a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from advisor.edits import same
from advisor.tuning.choice import counts, margin
from advisor.tuning.space import (
    BATCH,
    EPOCHS,
    LR,
    STEPS,
    Room,
    alike,
    has,
    rate_of,
    with_changes,
    with_rate,
)
from advisor.tuning.strategy_curves import broke, lead, length_of, started_at
from advisor.tuning.strategy_moves import SHORT, Move, is_short, more_steps, next_move
from advisor.tuning.strategy_rates import RATES, leaning, next_rate, probe_steps
from advisor.tuning.trial import Limits, Proposal, Stop, Trial

MOST_PROBES = 8
FAILURES = 3  # moves in a row that gained nothing: what is left gains less than the noise
EARLY, LATE = 0.4, 0.15  # of what the best run had learnt by then: a run so far behind is lost


def propose(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None
) -> Proposal | Stop:
    """Return the next run, or why there is none; a pure function of what is known."""
    if not history:
        return Proposal(start, reason="the start: your config as it is")
    room = Room(limits.ranges)
    base = base_of(history, noise)
    first = _enough_steps(base, history, room) or _rate(base, history, room)
    if first is not None:
        return first
    if _idle(history, noise) >= FAILURES:
        return Stop(f"the last {FAILURES} changes gained nothing beyond the noise")
    found = next_move(base, history, room)
    if found is None:
        return Stop("nothing that was not tried promises more than the noise")
    return _moved(*found)


def _moved(values: Mapping[str, object], move: Move) -> Proposal:
    return Proposal(values, "full", None, move.reason, move.because)


def _enough_steps(base: Trial, history: Sequence[Trial], room: Room) -> Proposal | None:
    """Mend a run of a handful of steps before its rate: it can be neither probed nor diagnosed."""
    if len(history) > 1 or not is_short(base) or leaning(base):
        return None
    move = more_steps(base)
    values = with_changes(base.values, move.changes, room, length_of(base))
    return None if alike(values, base.values) else _moved(values, move)


def _rate(base: Trial, history: Sequence[Trial], room: Room) -> Proposal | None:
    """Return the next rate of the bracket; None where it has closed."""
    if not has(base.values, LR) or not _is_first_bracket(base, history):
        return None
    if sum(t.kind == "probe" for t in history) >= MOST_PROBES:
        return None
    rate = next_rate(base, history, room)
    if rate is None:
        return None
    values = with_rate(base.values, rate.rate, room)
    steps = probe_steps(base) if rate.probe else None
    if any(alike(values, t.values) and (t.kind == "full" or steps) for t in history):
        return None
    return Proposal(values, "probe" if steps else "full", steps, rate.reason, _codes(base))


def base_of(history: Sequence[Trial], noise: float | None) -> Trial:
    """Return the run that the next one builds on: the earliest that none beats beyond the noise."""
    whole = [t for t in history if counts(t) and not broke(t)] or [t for t in history if counts(t)]
    if not whole:
        return history[0]
    base = whole[0]
    for trial in whole[1:]:
        gain = float(base.best_val or 0.0) - float(trial.best_val or 0.0)
        beyond = margin(trial, base, noise) / 2
        # of two that are alike the one of more steps: it says more of what to do next
        tells_more = length_of(base) < SHORT and length_of(trial) > 1.5 * length_of(base)
        if gain > (-beyond if tells_more else beyond):
            base = trial
    return base


def _is_first_bracket(base: Trial, history: Sequence[Trial]) -> bool:
    """Say whether the rate was bracketed beside no other base: once is enough.

    What is turned later moves the rate along with it.
    """

    def siblings(one: Trial) -> int:
        return sum(t is not one and alike(t.values, one.values, RATES) for t in history)

    return siblings(base) > 0 or all(siblings(t) == 0 for t in history)


def _idle(history: Sequence[Trial], noise: float | None) -> int:
    """Return how many whole runs there were since the last that the next builds on."""
    base = base_of(history, noise)
    return sum(t.kind == "full" and t.number > base.number for t in history)


def _codes(base: Trial) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for e in base.edits if e.key == LR for code in e.because))


def hopeless(partial: Trial, history: Sequence[Trial], limits: Limits, noise: float | None) -> str:
    """Say why a run that still goes on is to be aborted, '' to let it go on.

    A run is lost that has learnt clearly less than the best one had by then. One with a slower
    schedule is behind by design, so runs of another length are never compared.
    """
    if partial.kind != "full" or not history:
        return ""
    base = base_of(history, noise)
    if not alike(partial.values, base.values, RATES):
        return _behind_by_samples(partial, base, history)
    ahead = lead(partial, base)
    begin = started_at(history)
    if ahead is None or begin is None or base.best_val is None:
        return ""
    done = length_of(partial) / max(1, length_of(base))
    if done < 0.15:
        return ""
    return _verdict(ahead.value, ahead.error, begin - _level(base, length_of(partial)), done)


def _level(base: Trial, steps: int) -> float:
    known = base.losses[base.loss_steps < steps]
    tail = known[len(known) // 2 :]
    return float(tail.mean()) if tail.size else math.inf


def _verdict(gap: float, error: float, learnt: float, done: float) -> str:
    share = EARLY + (LATE - EARLY) * done
    if gap > 3 * error and gap > share * max(learnt, 0.0) and gap > 0:
        return (
            f"{gap:.3g} above the best run at the same step, which had learnt {learnt:.3g} by then"
        )
    return ""


def _behind_by_samples(partial: Trial, base: Trial, history: Sequence[Trial]) -> str:
    """Compare runs of other batches by the samples that they have seen, on held-out rows."""
    same_length = (EPOCHS, STEPS)
    if any(not same(partial.values.get(k), base.values.get(k)) for k in same_length):
        return ""
    one, other = (t.values.get(BATCH) for t in (partial, base))
    factor = float(one) / float(other) if isinstance(one, int) and isinstance(other, int) else 1.0
    known = base.val_steps >= 0
    if partial.val_steps.size == 0 or known.sum() < 2 or base.best_val is None:
        return ""
    seen = float(partial.val_steps[-1] + 1) * factor - 1
    places, levels = base.val_steps[known], base.val_losses[known]
    if seen < places[0] or seen > places[-1]:
        return ""
    gap = float(partial.val_losses[-1]) - float(np.interp(seen, places, levels))
    begin = started_at(history)
    if begin is None:
        return ""
    error = partial.noise or base.noise or 0.0
    return _verdict(gap, error, begin - float(levels[-1]), seen / float(places[-1]))


def propose_many(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None,
    count: int,
) -> Sequence[Proposal] | Stop:  # fmt: skip
    """Return several runs at once: a ladder of rates, where rates are probed; else the next one."""
    found = propose(history, start, limits, noise)
    if isinstance(found, Stop) or found.kind != "probe":
        return found if isinstance(found, Stop) else [found]
    room, base = Room(limits.ranges), base_of(history, noise)
    place, here = math.log10(rate_of(found.values)), math.log10(rate_of(base.values))
    rates = [10 ** (here + (place - here) * turn) for turn in range(2, count + 1)]
    more = [with_rate(base.values, rate, room) for rate in rates]
    return [
        found,
        *(Proposal(v, found.kind, found.max_steps, found.reason, found.because) for v in more),
    ]
