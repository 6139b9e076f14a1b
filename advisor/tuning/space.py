"""The search space: which keys a strategy may change, their bounds, and what changes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.base.numbers import is_number, number, same
from advisor.dialects.habits import UNKNOWN
from advisor.findings import Edit
from advisor.plan import coupling

LR, BATCH, LOCAL = coupling.LR, coupling.GLOBAL, coupling.LOCAL
EPOCHS, STEPS, RANK = coupling.EPOCHS, coupling.STEPS, coupling.RANK
DECAY, DROPOUT = "optimizer.weight_decay", "peft.dropout"
WHOLE = (BATCH, LOCAL, EPOCHS, STEPS, RANK, coupling.ALPHA, coupling.WARMUP)
MOST_RANK = 256  # a larger adapter costs about as much as full fine-tuning
# Bounds beyond which no value makes sense for any model.
_HARD: Mapping[str, tuple[float, float]] = {
    LR: (1e-9, 10.0), BATCH: (1, 65536), LOCAL: (1, 65536), EPOCHS: (1, 1000),
    STEPS: (1, 1e12), RANK: (1, MOST_RANK), coupling.ALPHA: (1, 1e6), coupling.WARMUP: (0, 1e9),
    DECAY: (0.0, 100.0), DROPOUT: (0.0, 0.9),
}  # fmt: skip

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Room:
    """The bounds of all keys: the user's ranges, within our hard ones."""

    ranges: Mapping[str, tuple[float, float]]  # key -> lowest, highest

    def fit(self, key: str, value: float) -> float | int:
        """Return the nearest value within bounds: a whole number, or two significant digits."""
        low, high = _HARD.get(key, (-1e300, 1e300))
        if key in self.ranges:
            low, high = max(low, self.ranges[key][0]), min(high, self.ranges[key][1])
        if key in WHOLE:
            return int(min(max(round(value), math.ceil(low)), math.floor(high)))
        return min(max(float(f"{value:.2g}"), low), high)


def has_number(values: Values, key: str) -> bool:
    """Return whether a key holds a number of at least 0, so that a strategy can change it."""
    return is_number(values.get(key)) and number(values[key]) >= 0


def rate_of(values: Values) -> float:
    """Return the peak learning rate; 0 where there is none."""
    return number(values[LR]) if has_number(values, LR) else 0.0


def with_rate(values: Values, rate: float, room: Room) -> dict[str, object]:
    """Return the values at another learning rate, with its minimum scaled along."""
    return with_change(values, LR, room.fit(LR, rate), room)


def with_change(
    values: Values, key: str, new: object, room: Room, total: float | None = None
) -> dict[str, object]:
    """Return the values with one changed, and the coupled keys changed with it.

    ``total`` is the number of steps of the run that the values come from.
    """
    return with_changes(values, [(key, new)], room, total)


def with_changes(
    values: Values, changes: Sequence[tuple[str, object]], room: Room, total: float | None = None
) -> dict[str, object]:
    """Return the values with several changed, and the coupled keys changed with them.

    ``total`` is the number of steps of the run that the values come from.
    """
    bounded = [(k, room.fit(k, number(new)) if is_number(new) else new) for k, new in changes]
    edits = [_make_edit(values, key, new) for key, new in bounded]
    taken = frozenset(key for key, _ in changes)
    changed = dict(values)
    for edit in (*coupling.couple(edits, values, taken, UNKNOWN, total), *edits):
        new = edit.new
        changed[edit.key] = room.fit(edit.key, number(new)) if is_number(new) else new
    _keep_divisible(changed, taken)
    return changed


def _make_edit(values: Values, key: str, new: object) -> Edit:
    old = values.get(key)
    shown = old if old is None or isinstance(old, (bool, int, float, str)) else None
    return Edit(key, "set", None, "review", old=shown, new=new, resolved=True)  # type: ignore[arg-type]


def _keep_divisible(values: dict[str, object], taken: frozenset[str]) -> None:
    """Make the global batch a multiple of the local one: adjust the one that was not asked for."""
    whole, local = values.get(BATCH), values.get(LOCAL)
    parallel = values.get("data.parallel", 1)
    if not isinstance(whole, int) or not isinstance(local, int) or not isinstance(parallel, int):
        return
    share = max(1, whole // max(1, parallel))
    if share % local == 0:
        return
    if LOCAL in taken and BATCH not in taken:
        values[BATCH] = max(1, round(whole / (local * parallel))) * local * parallel
        return
    values[LOCAL] = next(size for size in range(min(local, share), 0, -1) if share % size == 0)


def is_alike(one: Values, other: Values, but: Sequence[str] = ()) -> bool:
    """Return whether two runs have the same values within 2%, except for the keys ``but``."""
    keys = {*one, *other} - set(but)
    return all(same(one.get(key), other.get(key), 0.02) for key in keys)


def count_doublings(one: Values, other: Values, key: str) -> float:
    """Return by how many doublings a key grew from one to the other; negative where it fell.

    0 where either has no number; values below 1e-4 count as 1e-4, so that 0 has a distance, too.
    """
    if not has_number(one, key) or not has_number(other, key):
        return 0.0
    old, new = (max(number(each[key]), 1e-4) for each in (one, other))
    return math.log2(new / old)
