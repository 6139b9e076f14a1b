"""Defects of the samples as the model will see them, logged as warnings that rules read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from train.data.store import SampleStore

Indices = NDArray[np.int64]
MANY = 0.05  # this share of samples is worth a warning; a few occur in most data sets
MOST = 0.5  # so many without an end are no accident
FEW = 20  # samples: fewer tell nothing about a data set


def repeats(store: SampleStore, samples: Indices) -> int:
    """Return how many samples say token by token what one before them has said."""
    return len(samples) - len(set(_texts(store, samples)))


def count_shared(
    train: SampleStore, trained: Indices, held: SampleStore, validation: Indices
) -> int:
    """Return how many validation samples are trained on, token by token."""
    counts = Counter(_texts(held, validation))
    return sum(counts[text] for text in counts.keys() & set(_texts(train, trained)))


def without_end(store: SampleStore, samples: Indices, ends: Iterable[int]) -> int:
    """Return how many samples have none of these tokens among the last that are learnt."""
    known, missing = frozenset(ends), 0
    for at in samples:
        document = store.document(int(at))
        last = document.ids[document.learnt][-3:]  # a template may write a line's end behind it
        missing += not known & set(last.tolist())
    return missing


def twice_begun(store: SampleStore, samples: Indices, begin: int) -> int:
    """Return how many samples begin with two beginning-of-text tokens."""
    long = samples[store.lengths[samples] > 1]
    first = store.ends[long]
    both = (store.ids[first] == begin) & (store.ids[first + 1] == begin)
    return int(both.sum())


def _texts(store: SampleStore, samples: Indices) -> Iterator[bytes]:
    return (store.document(int(at)).ids.tobytes() for at in samples)


def warnings_of(store: SampleStore, samples: Indices, tokenizer: object, cut: int) -> list[str]:
    """Return warnings for what is wrong with a training set, of which ``cut`` samples lost their
    end."""
    total = len(samples)
    if total < FEW:
        return []
    lines = []
    if (count := repeats(store, samples)) > MANY * total:
        lines.append(f"{count} of {total} training samples are duplicates of others")
    if (ends := _ends(tokenizer)) and (
        count := without_end(store, samples, ends) - cut
    ) > MOST * total:
        lines.append(f"{count} of {total} samples end without an end-of-text token to learn")
    begin = getattr(tokenizer, "bos_token_id", None)
    if begin is not None and (count := twice_begun(store, samples, begin)) > MANY * total:
        lines.append(f"{count} of {total} samples begin with a double BOS")
    if cut > MANY * total:
        lines.append(f"{cut} of {total} samples are cut off at the maximum length")
    return lines


def _ends(tokenizer: object) -> set[int]:
    """Return the tokens that can end a turn: special ones that are not for the beginning or the
    unknown."""
    ids = {getattr(tokenizer, "eos_token_id", None), *getattr(tokenizer, "all_special_ids", ())}
    return ids - {None, *(getattr(tokenizer, f"{name}_token_id", None) for name in ("bos", "unk"))}


def leak_warnings(shared_samples: int, total: int) -> list[str]:
    if shared_samples <= MANY * total:
        return []
    return [f"{shared_samples} of {total} validation samples are also trained on"]
