"""Choosing which native column is used for each canonical metric."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.errors import NoColumn
from advisor.readers import names

PLACES = ("step", "epoch", "time")  # names of --map that give a row's position and are no metric


def choose(
    counts: Mapping[str, int], mapped: Mapping[str, str], where: str
) -> tuple[dict[str, str], list[str]]:
    """Return canonical name -> native name, and notes on what was guessed.

    ``counts`` gives the points of each native column. Of several columns for one metric the one
    whose name is listed first in ``names`` wins, unless it has less than half of the points of
    another. ``mapped`` (--map) overrides everything; NoColumn where it names a missing column.
    """
    chosen: dict[str, str] = {}
    for native in counts:
        if native in mapped.values() or names.is_place(native):
            continue
        name = names.canonical(native)
        if name not in chosen or _is_better(native, chosen[name], counts):
            chosen[name] = native
    chosen.update({k: v for k, v in mapped.items() if k not in PLACES})
    notes = _fill_in_losses(chosen, mapped)
    missing = tuple(v for v in mapped.values() if v not in counts)
    if missing:
        have = ", ".join(sorted(counts)[:20])
        raise NoColumn(f"{where}: no column '{missing[0]}' to map; there are: {have}", missing)
    return dict(sorted(chosen.items())), notes


def _is_better(one: str, other: str, counts: Mapping[str, int]) -> bool:
    if 2 * min(counts[one], counts[other]) < max(counts[one], counts[other]):
        return counts[one] > counts[other]
    return (names.rank(one), -counts[one]) < (names.rank(other), -counts[other])


def _fill_in_losses(chosen: dict[str, str], mapped: Mapping[str, str]) -> list[str]:
    """Fill in a missing train/loss or eval/loss from a related column; return notes."""
    notes: list[str] = []
    if "train/loss" not in chosen and "train/epoch_loss" in chosen:
        chosen["train/loss"] = chosen.pop("train/epoch_loss")
    if "train/loss" not in chosen:
        losses = [k for k in chosen if k.startswith("train/") and k.endswith("loss")]
        if len(losses) == 1 and "eval/loss" not in chosen:
            chosen["train/loss"] = chosen.pop(losses[0])
            notes.append(f"'{chosen['train/loss']}' is the only loss: taken as train/loss")
    if "eval/loss" not in chosen and "test/loss" in chosen:
        chosen["eval/loss"] = chosen.pop("test/loss")
    if "eval/loss" not in chosen:
        sets = [k for k in chosen if k.startswith("eval/") and k.endswith("/loss")]
        if sets:
            chosen["eval/loss"] = chosen.pop(sets[0])
        if len(sets) > 1:
            notes.append(f"of {len(sets)} evaluation sets, '{chosen['eval/loss']}' is eval/loss")
    return notes
