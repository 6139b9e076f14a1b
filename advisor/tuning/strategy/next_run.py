"""The strategy: first probes of rate, batch and capacity, cut off early and compared over the same
samples; then a whole run of the best; then what only whole runs can judge, one group of the guide
at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from advisor.tuning.choice import clear_margin, is_eligible, noise_of
from advisor.tuning.space import LR, Room, has_number, is_alike, rate_of, with_rate
from advisor.tuning.strategy.curves import (  # fmt: skip
    Lead,
    batch_size_of,
    best_share,
    is_broken,
    is_same_length,
    length_of,
    loss_at_start,
    measure_lead,
    probe_samples,
)
from advisor.tuning.strategy.moves import (
    Move,
    find_first_new,
    is_near,
    last_moves,
    moves_asked_for,
    moves_of_batch,
    moves_to_probe,
    moves_to_repair,
)
from advisor.tuning.strategy.rates import RATES, find_direction, next_rate, was_bracketed
from advisor.tuning.trial import Limits, Stop, Trial, TrialProposal

MOST_PROBES = 12  # in a session
MOST_BROKEN = 4  # failed runs in a row
FAILURES = 3  # whole runs in a row without a gain: what is left gains less than the noise
# Share of the loss by which a run that can be probed may be worse than one that cannot
DETOUR = 0.02
CLOSE_BY = 0.1  # share of the loss gained by then: probes closer than this cannot be told apart
# A run is lost when it lags the best one by this share of the loss gained by then: at the start of
# the run, and at its end.
EARLY, LATE = 0.4, 0.1


def propose(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None
) -> TrialProposal | Stop:
    """Return the next run, or the reason to stop; a pure function of its arguments.

    ``history`` holds the runs that ended, the start first; ``noise`` is the standard error of one
    evaluation.
    """
    if not history:
        return TrialProposal(start, reason="the start: your config as it is")
    room = Room(limits.ranges)
    base = find_base(history, noise)
    if base.status in ("oom", "crashed"):
        return _propose_repair(history, room)
    front = find_front(base, history)
    probe = _propose_probe(base, front, history, room) if limits.probes else None
    if probe is not None:
        return probe
    if front is not base and not any(_was_run_whole(t, front) for t in history):
        return TrialProposal(front.values, reason="the best of the probes, as a whole run",
                        because=_list_codes(base))  # fmt: skip
    if _count_idle(history, noise) >= FAILURES:
        return Stop(f"the last {FAILURES} whole runs gained nothing beyond the noise")
    found = find_first_new(moves_asked_for(base, history), base, history, room)
    close = _propose_close_behind(base, history) if found is None else None
    if close is not None:
        return close
    found = found or find_first_new(last_moves(base), base, history, room)
    if found is None:
        return Stop("nothing untried promises a gain beyond the noise")
    return _make_proposal(*found)


def _propose_repair(history: Sequence[Trial], room: Room) -> TrialProposal | Stop:
    """Return a run that may succeed where all before failed, or the reason to stop."""
    found = find_first_new(moves_to_repair(history[-1]), history[-1], history, room)
    if found is None or len(history) > MOST_BROKEN:
        return Stop("no run succeeded, and no log says what would help")
    return _make_proposal(*found)


def _make_proposal(
    values: Mapping[str, object], move: Move, steps: int | None = None
) -> TrialProposal:
    kind = "probe" if steps else "full"
    return TrialProposal(values, kind, steps, move.reason, move.because)  # type: ignore[arg-type]


def find_base(history: Sequence[Trial], noise: float | None) -> Trial:
    """Return the run that the next one builds on: the earliest that none beats beyond the noise.

    The start where no whole run has a validation loss.
    """
    eligible = [t for t in history if is_eligible(t)]
    whole = [t for t in eligible if not is_broken(t)] or eligible
    if not whole:
        return history[0]
    base = whole[0]
    for trial in whole[1:]:
        gain = float(base.best_val or 0.0) - float(trial.best_val or 0.0)
        beyond = clear_margin(trial, base, noise) / 2
        if gain > (-max(beyond, DETOUR * abs(base.best_val or 0.0)) if _can_be_probed(trial, base)
                   else -beyond if _was_sooner(trial, base) else beyond):  # fmt: skip
            base = trial
    return base


def _can_be_probed(trial: Trial, base: Trial) -> bool:
    """Return whether a run is long enough to probe where the base is not."""
    return probe_samples(base) is None and probe_samples(trial) is not None


def _was_sooner(trial: Trial, base: Trial) -> bool:
    """Return whether a run of equal length reached its best clearly earlier than the base.

    Then a shorter schedule may do.
    """
    return is_same_length(trial, base) and best_share(trial) < 0.75 * best_share(base)


def find_front(base: Trial, history: Sequence[Trial]) -> Trial:
    """Return the run with the lowest loss over the samples of a probe; the base unless one is
    clearly lower."""
    front, best, noise = base, 0.0, noise_of(history)
    for trial in history:
        if trial is base or is_broken(trial) or not is_same_length(trial, base):
            continue
        ahead = measure_lead(trial, base, probe_samples(base), noise)
        if ahead is not None and ahead.is_better() and ahead.value < best:
            front, best = trial, ahead.value
    return front


def _propose_probe(
    base: Trial, front: Trial, history: Sequence[Trial], room: Room
) -> TrialProposal | None:
    """Return the next probe: the rate, then batch and capacity, then the rate with those.

    None where probes have nothing left to find.
    """
    if sum(t.kind == "probe" for t in history) >= MOST_PROBES:
        return None
    tried = [t for t in history if is_same_length(t, base)]
    if was_bracketed(history) and not was_bracketed(tried) and not find_direction(base):
        return None  # the rate found for another run length holds for this one, too
    if probe_samples(base) is None and len(history) == 1 and not find_direction(base):
        longer = find_first_new(moves_of_batch(base, base), base, history, room)
        if longer is not None:
            return _make_proposal(*longer)
    rate = next_rate(front, base, tried, room) if has_number(front.values, LR) else None
    if rate is not None and not was_bracketed(tried):
        return _propose_rate(rate, front, base, room)
    moved = find_first_new(moves_to_probe(front, base), front, tried, room)
    if moved is not None:
        return _make_proposal(*moved, _count_probe_steps(probe_samples(base), moved[0]))
    return None if rate is None else _propose_rate(rate, front, base, room)


def _propose_rate(rate: tuple[float, str], front: Trial, base: Trial, room: Room) -> TrialProposal:
    values = with_rate(front.values, rate[0], room)
    move = Move((), rate[1], _list_codes(base))
    return _make_proposal(values, move, _count_probe_steps(probe_samples(base), values))


def _count_probe_steps(samples: float | None, values: Mapping[str, object]) -> int | None:
    """Return the optimizer steps of a probe; None where it has to be a whole run."""
    if samples is None:
        return None
    size = values.get("step_scheduler.global_batch_size")
    return max(1, math.ceil(samples / (size if isinstance(size, int) and size > 0 else 1)))


def _was_run_whole(trial: Trial, front: Trial) -> bool:
    return trial.kind == "full" and is_alike(trial.values, front.values)


def _count_idle(history: Sequence[Trial], noise: float | None) -> int:
    """Return how many whole runs ended since the one that the next builds on."""
    base = find_base(history, noise)
    return sum(t.kind == "full" and t.number > base.number for t in history)


def _propose_close_behind(base: Trial, history: Sequence[Trial]) -> TrialProposal | None:
    """Return a whole run of the best probe close behind the base; None where there is none."""
    begin, samples = loss_at_start(history), probe_samples(base)
    if begin is None or samples is None:
        return None
    near = CLOSE_BY * (begin - _level(base, samples))
    found = []
    for trial in history:
        if is_broken(trial) or trial.kind != "probe" or not is_same_length(trial, base):
            continue
        if any(t.kind == "full" and is_near(t.values, trial) for t in history):
            continue
        ahead = measure_lead(trial, base, samples)
        if ahead is not None and ahead.value < near:
            found.append((ahead.value, trial.number, trial))
    if not found:
        return None
    best = min(found, key=lambda each: each[:2])[2]
    return TrialProposal(best.values, reason="a probe close behind the best, as a whole run")


def _list_codes(base: Trial) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for e in base.edits if e.key == LR for code in e.because))


def explain_hopeless(
    partial: Trial, history: Sequence[Trial], limits: Limits, noise: float | None
) -> str:
    """Return why to abort a whole run in progress, '' to let it continue.

    A run is lost once it has gained clearly less loss than the best run had over the same samples.
    A longer schedule is behind by design, so runs of another length are never compared.
    """
    if partial.kind != "full" or not history:
        return ""
    base = find_base(history, noise)
    begin = loss_at_start(history)
    seen = length_of(partial) * batch_size_of(partial)
    done = seen / max(1.0, length_of(base) * batch_size_of(base))
    if begin is None or done < 0.15 or not is_same_length(partial, base):
        return ""
    ahead = measure_lead(partial, base, None, noise)
    return "" if ahead is None else _judge_lag(ahead, begin - _level(base, seen), done)


def _level(base: Trial, samples: float) -> float:
    """Return the mean training loss of the base over the later half of its first ``samples``.

    Infinite where it logged none.
    """
    known = base.losses[(base.loss_steps + 1) * batch_size_of(base) <= samples]
    tail = known[len(known) // 2 :]
    return float(np.mean(tail)) if tail.size else math.inf


def _judge_lag(ahead: Lead, learnt: float, done: float) -> str:
    share = EARLY + (LATE - EARLY) * done
    if ahead.value > max(3 * ahead.error, share * learnt, 0.0):
        return f"{ahead.value:.3g} above the best run so far over the same samples"
    return ""


def propose_many(
    history: Sequence[Trial], start: Mapping[str, object], limits: Limits, noise: float | None,
    count: int,
) -> Sequence[TrialProposal] | Stop:  # fmt: skip
    """Return up to ``count`` runs at once: a ladder of rates while rates are probed, else one."""
    found = propose(history, start, limits, noise)
    if isinstance(found, Stop):
        return found
    base = find_base(history, noise) if history else None
    if base is None or found.kind != "probe" or not is_alike(found.values, base.values, RATES):
        return [found]
    here, place = math.log10(rate_of(base.values)), math.log10(rate_of(found.values))
    room = Room(limits.ranges)
    ladder = [with_rate(base.values, 10 ** (here + turn * (place - here)), room)
              for turn in (-1, 2, -2, 3, -3, 4, -4)]  # fmt: skip
    new = [v for v in ladder if not any(is_alike(v, t.values) for t in history)]
    more = [TrialProposal(v, "probe", found.max_steps, "another rate in parallel", found.because)
            for v in new]  # fmt: skip
    return [found, *more][:count]
