"""Changes to try besides the learning rate: one group of the guide per run, most likely first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advisor.base.numbers import is_number, number, same
from advisor.plan.make import Group, group_of
from advisor.run import Config, Run
from advisor.signals.rates import range_of
from advisor.tuning.space import (
    BATCH,
    DECAY,
    DROPOUT,
    EPOCHS,
    LOCAL,
    LR,
    MOST_RANK,
    RANK,
    STEPS,
    Room,
    Values,
    count_doublings,
    has_number,
    is_alike,
    with_changes,
)  # fmt: skip
from advisor.tuning.strategy.curves import best_share, length_of
from advisor.tuning.trial import Trial

FEW_STEPS = 200  # a shorter run gains from more steps of fewer samples each
SHORT = 24  # steps: a shorter run says little about its rate and has too few updates to learn
FINE = 2.5  # factor of the last changes of the rate, which only whole runs can judge
CALM = 100  # steps: in shorter runs a smaller batch keeps its rate
NEARBY = 1.2  # doublings: rates closer than this show the same about other keys
ROUGH = 4.0  # factor of a change to a value that is far off
PROBED = (LR, BATCH, RANK, "peft.alpha")  # keys that probes judge, over the same samples
TURNED = (BATCH, EPOCHS, RANK, DECAY, DROPOUT, STEPS)


@dataclass(frozen=True, slots=True)
class Move:
    """Changes to keys of one group of the guide, and the reason."""

    changes: tuple[tuple[str, object], ...]  # (canonical key, new value); the main one first
    reason: str
    because: tuple[str, ...] = ()  # codes of the findings


def find_first_new(
    moves: Iterator[Move], front: Trial, history: Sequence[Trial], room: Room
) -> tuple[dict[str, object], Move] | None:
    """Return the first move that was neither tried nor failed in a similar form, and its values.

    None where there is none; ``room`` bounds the values.
    """
    for move in moves:
        values = with_changes(front.values, move.changes, room, length_of(front))
        key = move.changes[0][0]
        if same(values.get(key), front.values.get(key)):
            continue  # a bound allows no change
        if any(_was_tried(key, values, trial) for trial in history):
            continue
        changed = [key for key in TURNED if not same(values.get(key), front.values.get(key))]
        if not any(_failed_before(key, values, front, history) for key in changed):
            return values, move
    return None


def _was_tried(key: str, values: Values, trial: Trial) -> bool:
    """Return whether a run had these values.

    Where ``key``, the one to change, is not the rate, a nearby rate counts as the same.
    """
    if not is_alike(values, trial.values, (LR, "lr_scheduler.min_lr")):
        return False
    if key == LR:
        return trial.kind == "full" and abs(count_doublings(trial.values, values, LR)) < 0.5
    return _has_near_rate(values, trial)


def _failed_before(key: str, values: Values, front: Trial, history: Sequence[Trial]) -> bool:
    """Return whether a run changed this key in the same direction, as far or less, for nothing."""
    way = count_doublings(front.values, values, key)
    for trial in history:
        if trial is front or not is_alike(trial.values, front.values, _list_coupled(key)):
            continue
        moved = count_doublings(front.values, trial.values, key)
        if way * moved > 0 and abs(moved) <= abs(way) + 0.1 and _has_near_rate(values, trial):
            return True
    return False


def _has_near_rate(values: Values, trial: Trial) -> bool:
    """Return whether two rates are so close that one run's result holds for the other."""
    return abs(count_doublings(trial.values, values, LR)) < NEARBY


def is_near(values: Values, trial: Trial) -> bool:
    """Return whether a run had these values, apart from a slightly different rate."""
    others_agree = is_alike(values, trial.values, (LR, "lr_scheduler.min_lr"))
    return others_agree and _has_near_rate(values, trial)


def _list_coupled(key: str) -> tuple[str, ...]:
    """Return a key and all keys that change along with it."""
    return (key, LR, "lr_scheduler.min_lr", "lr_scheduler.lr_warmup_steps", "peft.alpha",
            "lr_scheduler.lr_decay_steps", "step_scheduler.local_batch_size", STEPS)  # fmt: skip


def moves_to_probe(front: Trial, base: Trial) -> Iterator[Move]:
    """Yield moves that a probe can judge: over as many samples, on the same schedule."""
    values, symptoms = front.values, _symptoms(base)
    if has_number(values, BATCH) and "noisy" in symptoms:
        more = ((BATCH, number(values[BATCH]) * 2),)
        yield Move(more, "noise hides the trend: more samples per step")
    else:
        yield from moves_of_batch(front, base)
    if has_number(values, RANK) and number(values[RANK]) < MOST_RANK and "overfit" not in symptoms:
        # a larger adapter moves the weights further in each step, hence also the lower rate
        grown = 2 ** count_doublings(base.values, values, RANK)
        factor = ROUGH * min(max(1.0, grown), ROUGH)  # after a gain, go further at once
        for rate in _list_rates(values):
            larger = ((RANK, number(values[RANK]) * factor), *rate)
            yield Move(larger, "more capacity may learn more")


def _list_rates(values: Values) -> list[tuple[tuple[str, object], ...]]:
    """Return the rates to try with another batch or rank: a lower one, and the present one."""
    if not has_number(values, LR):
        return [()]
    return [((LR, number(values[LR]) / FINE),), ((LR, values[LR]),)]


def moves_of_batch(front: Trial, base: Trial) -> Iterator[Move]:
    """Yield a smaller batch for a run of few steps, a larger one for a run of many."""
    if not has_number(front.values, BATCH):
        return
    size, steps = number(front.values[BATCH]), length_of(base) * _steps_ratio(base, front)
    if steps >= FEW_STEPS:
        yield Move(((BATCH, size * 2),), "a smoother gradient may be worth fewer steps")
        return
    smaller = max(1, round(size / (ROUGH if steps < SHORT else 2.0)))
    # short runs keep the rate first: too few steps hold them back, not noisy ones
    rates = reversed(_list_rates(front.values)) if steps < CALM else [()]
    for rate in rates:
        yield Move(((BATCH, smaller), *rate), f"only {steps:.0f} steps: more, of fewer samples")


def _steps_ratio(base: Trial, front: Trial) -> float:
    """Return how many steps the front takes for each step of the base, over equal samples."""
    if not has_number(base.values, BATCH) or not has_number(front.values, BATCH):
        return 1.0
    return number(base.values[BATCH]) / max(1.0, number(front.values[BATCH]))


def moves_asked_for(base: Trial, history: Sequence[Trial]) -> Iterator[Move]:
    """Yield moves that only a whole run can judge, and that diagnosis or curve ask for."""
    values, symptoms = base.values, _symptoms(base)
    yield from _moves_of_plan(base)
    yield from _moves_further(base, history)
    if "overfit" not in symptoms and _falls_to_the_end(base):
        yield from _moves_to_length(values, 2.0, "still learning at the end")
    elif has_number(values, EPOCHS):
        share = best_share(base)
        if share <= 0.75 and number(values[EPOCHS]) > 1:
            new = max(1, round(number(values[EPOCHS]) * share))
            yield Move(((EPOCHS, new),), "the best checkpoint came early: end the schedule there")


def last_moves(base: Trial) -> Iterator[Move]:
    """Yield moves that may gain a little, once nothing else is left."""
    values = base.values
    yield from _moves_into_range(values)
    if has_number(values, LR):
        for factor, word in ((1 / FINE, "lower"), (FINE, "higher")):
            beside = ((LR, number(values[LR]) * factor),)
            yield Move(beside, f"the best run so far at a slightly {word} rate")
    yield from _moves_to_length(values, 2.0, "more passes")


def _symptoms(trial: Trial) -> set[str]:
    return {said.symptom for said in trial.findings if said.severity != "info"}


def _moves_further(base: Trial, history: Sequence[Trial]) -> Iterator[Move]:
    """Yield the move that led to the base once more, by the same factor."""
    for parent in reversed([t for t in history if t.kind == "full" and t.number < base.number]):
        moved = [key for key in (EPOCHS, DECAY, DROPOUT) if has_number(base.values, key)
                 and abs(count_doublings(parent.values, base.values, key)) > 0.4]  # fmt: skip
        if len(moved) == 1:
            key = moved[0]
            factor = 2 ** count_doublings(parent.values, base.values, key)
            further = ((key, number(base.values[key]) * factor),)
            yield Move(further, "this direction was better: go further")
        return


def moves_to_repair(broken: Trial) -> Iterator[Move]:
    """Yield moves that may let a run succeed that crashed or ran out of memory."""
    yield from _moves_of_plan(broken, ())
    if broken.status == "oom" and has_number(broken.values, LOCAL):
        half = ((LOCAL, max(1, int(number(broken.values[LOCAL])) // 2)),)
        yield Move(half, "out of memory: fewer samples at a time, as many per step")


def _moves_of_plan(base: Trial, judged: Sequence[str] = PROBED) -> Iterator[Move]:
    """Yield the plan's edits that no probe judges, one group at a time in the guide's order.

    Edits to how a run is measured are left out: they change no loss. ``judged`` are the keys that
    probes judge.
    """
    edits = [e for e in base.edits if not same(base.values.get(e.key), e.new)]
    edits = [e for e in edits if group_of(e.key) > Group.MEASURING and e.key not in judged]
    for group in sorted({group_of(e.key) for e in edits}):
        chosen = [e for e in edits if group_of(e.key) == group]
        because = tuple(dict.fromkeys(code for e in chosen for code in e.because))
        yield Move(tuple((e.key, e.new) for e in chosen), f"the plan of run {base.number}", because)


def _falls_to_the_end(trial: Trial) -> bool:
    """Return whether the lowest validation loss came at the end of the run."""
    return trial.val_losses.size < 2 or best_share(trial) > 0.95


def _moves_to_length(values: Values, factor: float, why: str) -> Iterator[Move]:
    if is_number(values.get(STEPS)) and number(values[STEPS]) > 0:
        yield Move(((STEPS, number(values[STEPS]) * factor),), why)
    elif has_number(values, EPOCHS):
        yield Move(((EPOCHS, number(values[EPOCHS]) * factor),), why)


def _moves_into_range(values: Values) -> Iterator[Move]:
    """Yield a move to the edge of the recommended range, for a value well outside it."""
    run = Run("", "", {}, config=Config(values))
    for key in (DECAY, DROPOUT):
        known = range_of(key, run)
        if known is None or known.low is None or known.high is None or not has_number(values, key):
            continue
        value = number(values[key])
        if not known.low / 1.5 <= value <= known.high * 1.5:
            edge = known.low if value < known.low else known.high
            yield Move(((key, edge),), f"the usual range is {known.low:g} to {known.high:g}")
