"""A disjoint validation split: each prompt is on one side, chosen by a hash of its text.

The choice looks at nothing but the prompt, so it is the same in every run, on every machine and
for every seed, and rows that repeat or share a prompt never stand on both sides.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from train.errors import DataError

Keys = NDArray[np.uint64]
Indices = NDArray[np.int64]


def key_of(prompt: str) -> int:
    """Return 64 bits of the prompt's hash; white space and case do not count."""
    folded = " ".join(prompt.casefold().split())
    return int.from_bytes(hashlib.sha256(folded.encode("utf-8", "replace")).digest()[:8], "big")


def split(keys: Keys, share: float) -> tuple[Indices, Indices]:
    """Return rows for training and for validation, each in their order."""
    if not 0 < share < 1:
        raise DataError(f"validation_split: {share} is not between 0 and 1")
    held = keys < np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    if not held.any() and len(keys):
        held = keys == keys.min()  # few rows: the prompt with the lowest hash
    if held.all():
        raise DataError(
            f"validation_split: {share} of {len(keys)} rows leaves nothing to train on: "
            "too few different prompts; give a validation_dataset instead"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def is_test(keys: Keys) -> NDArray[np.bool_]:
    """Return which validation rows are of the half that tuning never looks at.

    By the hash's lowest bit: the split from the training rows went by its highest.
    """
    held: NDArray[np.bool_] = (keys & np.uint64(1)) == 1
    return held


def part_of(keys: Keys, part: str) -> Indices:
    """Return rows of one half of a validation set; decisions look at ``selection``, never at
    ``test``."""
    if part == "whole":
        return np.arange(len(keys))
    found = np.flatnonzero(is_test(keys) == (part == "test"))
    if not found.size:
        raise DataError(
            f"validation_part: {len(keys)} held-out rows leave none for the {part} half: too few"
            " different prompts; hold out more rows"
        )
    return found


def count_shared_prompts(train: Keys, validation: Keys) -> int:
    """Return how many validation rows have a prompt that is trained on."""
    return int(np.isin(validation, train).sum())
