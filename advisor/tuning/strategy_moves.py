"""What else to turn once the rate is right: one group of the guide a run, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from advisor.edits import is_number, number, same
from advisor.plan import group_of
from advisor.ranges import range_for
from advisor.tuning.space import (
    BATCH,
    DECAY,
    DROPOUT,
    EPOCHS,
    LR,
    RANK,
    STEPS,
    Room,
    Values,
    alike,
    distance,
    has,
    with_changes,
)  # fmt: skip
from advisor.tuning.strategy_curves import length_of
from advisor.tuning.trial import Trial

FEW_STEPS = 200  # a run of fewer gains by more steps of fewer samples each
SHORT = 24  # steps: a run of fewer says little of its rate, and has the fewest chances to learn
ROUGH = 4.0  # the factor of a move in a value that is far off


@dataclass(frozen=True, slots=True)
class Move:
    """Changes of one group, and why."""

    changes: tuple[tuple[str, object], ...]
    reason: str
    because: tuple[str, ...] = ()


def next_move(base: Trial, history: Sequence[Trial], room: Room) -> tuple[Values, Move] | None:
    """Return the values of the next move that was not tried and did not fail before."""
    for move in moves(base, history):
        values = with_changes(base.values, move.changes, room, length_of(base))
        if alike(values, base.values) or any(alike(values, t.values) for t in history):
            continue
        if not any(_failed(key, values, base, history) for key, _ in move.changes):
            return values, move
    return None


def _failed(key: str, values: Values, base: Trial, history: Sequence[Trial]) -> bool:
    """Say whether a run went the same way from a value no further along, and was no better."""
    way = distance(base.values, values, key)
    for trial in history:
        if (
            trial.kind != "full"
            or trial is base
            or not alike(trial.values, base.values, _along(key))
        ):
            continue
        moved = distance(base.values, trial.values, key)
        if way * moved > 0 and abs(moved) <= abs(way) + 0.1:
            return True
    return False


def _along(key: str) -> tuple[str, ...]:
    """Return the keys that may differ where only one was turned: it and what moves with it."""
    return (key, LR, "lr_scheduler.min_lr", "lr_scheduler.lr_warmup_steps", "peft.alpha",
            "lr_scheduler.lr_decay_steps", "step_scheduler.local_batch_size", STEPS)  # fmt: skip


def moves(base: Trial, history: Sequence[Trial]) -> Iterator[Move]:
    """Yield what may help: first what went well already, then what the diagnosis asks for."""
    values = base.values
    symptoms = {s.symptom for s in base.findings if s.severity != "info"}
    yield from _again(base, history)
    yield from _planned(base)
    few = length_of(base) < FEW_STEPS and "noisy" not in symptoms
    if few and has(values, BATCH):
        yield more_steps(base)
    if "overfit" not in symptoms and _falls_to_the_end(base):
        yield from _longer(values, 2.0, "still learning at the end")
    yield from _into_range(values)
    if has(values, RANK):
        yield Move(((RANK, number(values[RANK]) * ROUGH),), "more capacity")
    if has(values, BATCH):
        yield Move(((BATCH, number(values[BATCH]) * 2),), "less noise a step")
    yield from _longer(values, 2.0, "more passes")


def is_short(base: Trial) -> bool:
    """Say whether a run has so few steps that their number is what to mend first."""
    return length_of(base) < SHORT and has(base.values, BATCH) and number(base.values[BATCH]) > 1


def more_steps(base: Trial) -> Move:
    """Return a smaller batch: as many samples in more steps."""
    factor = ROUGH if length_of(base) < SHORT else 2.0
    batch = max(1, round(number(base.values[BATCH]) / factor))
    return Move(
        ((BATCH, batch),), f"{length_of(base)} steps are few: more, of fewer samples"
    )


def _again(base: Trial, history: Sequence[Trial]) -> Iterator[Move]:
    """Go on the way that brought the base: the same factor again."""
    parents = [t for t in history if t.kind == "full" and t.number < base.number]
    for parent in reversed(parents):
        moved = [key for key in (BATCH, EPOCHS, RANK, DECAY, DROPOUT) if has(base.values, key)
                 and abs(distance(parent.values, base.values, key)) > 0.4]  # fmt: skip
        if len(moved) == 1:
            key = moved[0]
            factor = 2 ** distance(parent.values, base.values, key)
            yield Move(
                ((key, number(base.values[key]) * factor),), f"{key} this way was better: further"
            )
        return


def _planned(base: Trial) -> Iterator[Move]:
    """Yield the plan's edits beside the rate's, a group at a time in the guide's order."""
    edits = [e for e in base.edits if e.key != LR and not same(base.values.get(e.key), e.new)]
    edits = [e for e in edits if group_of(e.key) > 0]  # how a run is measured changes no loss
    for group in sorted({group_of(e.key) for e in edits}):
        chosen = [e for e in edits if group_of(e.key) == group]
        because = tuple(dict.fromkeys(code for e in chosen for code in e.because))
        yield Move(tuple((e.key, e.new) for e in chosen), f"the plan of run {base.number}", because)


def _falls_to_the_end(trial: Trial) -> bool:
    """Say whether the lowest validation loss is that of the last evaluation."""
    return (
        trial.val_losses.size < 2
        or trial.best_val is None
        or float(trial.val_losses[-1]) <= trial.best_val
    )


def _longer(values: Values, factor: float, why: str) -> Iterator[Move]:
    if is_number(values.get(STEPS)) and number(values[STEPS]) > 0:
        yield Move(((STEPS, number(values[STEPS]) * factor),), why)
    elif has(values, EPOCHS):
        yield Move(((EPOCHS, number(values[EPOCHS]) * factor),), why)


def _into_range(values: Mapping[str, object]) -> Iterator[Move]:
    """Yield the edge of the recommended range for what lies well outside it."""
    method, samples = values.get("method"), values.get("data.samples")
    if not isinstance(method, str):
        return
    for key in (RANK, DECAY, DROPOUT):
        known = range_for(key, method, number(samples) if is_number(samples) else None)
        if (
            known is None
            or known.per
            or known.low is None
            or known.high is None
            or not has(values, key)
        ):
            continue
        value = number(values[key])
        if value < known.low / 1.5 or value > known.high * 1.5:
            edge = known.low if value < known.low else known.high
            yield Move(((key, edge),), f"usual is {known.low:g} to {known.high:g}")
