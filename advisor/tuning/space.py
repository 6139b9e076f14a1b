"""What a strategy may turn: the keys, how they move, and what moves along with them."""

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
MOST_RANK = 256  # an adapter of more is full fine-tuning in disguise, and as dear
# No rate, size or share beyond these makes sense for any model.
_HARD: Mapping[str, tuple[float, float]] = {
    LR: (1e-9, 10.0), BATCH: (1, 65536), LOCAL: (1, 65536), EPOCHS: (1, 1000),
    STEPS: (1, 1e12), RANK: (1, MOST_RANK), coupling.ALPHA: (1, 1e6), coupling.WARMUP: (0, 1e9),
    DECAY: (0.0, 100.0), DROPOUT: (0.0, 0.9),
}  # fmt: skip

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Room:
    """The bounds within which values may move; the user's own over ours."""

    ranges: Mapping[str, tuple[float, float]]

    def fit(self, key: str, value: float) -> float | int:
        """Return the nearest value that a key may hold, rounded as a person would write it."""
        low, high = _HARD.get(key, (-1e300, 1e300))
        if key in self.ranges:
            low, high = max(low, self.ranges[key][0]), min(high, self.ranges[key][1])
        if key in WHOLE:
            return int(min(max(round(value), math.ceil(low)), math.floor(high)))
        return min(max(float(f"{value:.2g}"), low), high)


def has(values: Values, key: str) -> bool:
    """Say whether a key holds a number that can be moved."""
    return is_number(values.get(key)) and number(values[key]) >= 0


def rate_of(values: Values) -> float:
    """Return the learning rate; 0 where there is none."""
    return number(values[LR]) if has(values, LR) else 0.0


def with_rate(values: Values, rate: float, room: Room) -> dict[str, object]:
    """Return the values at another learning rate, its floor moved along."""
    return with_change(values, LR, room.fit(LR, rate), room)


def with_change(
    values: Values, key: str, new: object, room: Room, total: float | None = None
) -> dict[str, object]:
    """Return the values with one changed, and what must come along with it.

    ``total`` is how many steps the run has that the values come from.
    """
    return with_changes(values, [(key, new)], room, total)


def with_changes(
    values: Values, changes: Sequence[tuple[str, object]], room: Room, total: float | None = None
) -> dict[str, object]:
    """Return the values with a group of changes made, and what must come along with it."""
    bounded = [(k, room.fit(k, number(new)) if is_number(new) else new) for k, new in changes]
    edits = [_edit(values, key, new) for key, new in bounded]
    taken = frozenset(key for key, _ in changes)
    changed = dict(values)
    for edit in (*coupling.couple(edits, values, taken, UNKNOWN, total), *edits):
        new = edit.new
        changed[edit.key] = room.fit(edit.key, number(new)) if is_number(new) else new
    _keep_divisible(changed, taken)
    return changed


def _edit(values: Values, key: str, new: object) -> Edit:
    old = values.get(key)
    shown = old if old is None or isinstance(old, (bool, int, float, str)) else None
    return Edit(key, "set", None, "review", old=shown, new=new, resolved=True)  # type: ignore[arg-type]


def _keep_divisible(values: dict[str, object], taken: frozenset[str]) -> None:
    """The global batch is a whole number of local ones: the one that was not asked for moves."""
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


def alike(one: Values, other: Values, but: Sequence[str] = ()) -> bool:
    """Say whether two runs have the same values, those of some keys aside."""
    keys = {*one, *other} - set(but)
    return all(same(one.get(key), other.get(key), 0.02) for key in keys)


def distance(one: Values, other: Values, key: str) -> float:
    """Return how far a key moved, in doublings; its sign says which way. Beside 0: as from 1e-4."""
    if not has(one, key) or not has(other, key):
        return 0.0
    old, new = (max(number(each[key]), 1e-4) for each in (one, other))
    return math.log2(new / old)
