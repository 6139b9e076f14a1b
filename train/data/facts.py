"""What is known of the data, and the lines that a user should read about it."""

from __future__ import annotations

from train.data.loader import RowSet
from train.data.packing import percentile
from train.data.reading import RowReader, Tally
from train.data.types import DataFacts, ModelLimits

_PERCENTILES = (50, 95, 99, 100)


def facts_of(rows: RowSet, tally: Tally, size: int, probed: bool = False) -> DataFacts:
    lengths = rows.store.lengths[rows.members]
    tokens = int(lengths.sum())
    return DataFacts(
        samples=len(rows.members),
        rows=len(rows),
        tokens=tokens,
        supervised=int(rows.store.supervised()[rows.members].sum()),
        all_masked=tally.masked,
        truncated=tally.truncated,
        unsupervised_turns=tally.lost,
        lengths={p: percentile(lengths, p) for p in _PERCENTILES},
        packed_sequence_size=size,
        efficiency=min(1.0, tokens / (len(rows) * size)) if size else 1.0,
        probed=probed,
    )


def notices_of(facts: DataFacts, reader: RowReader | None, which: str) -> list[str]:
    lines = []
    if facts.all_masked:
        lines.append(
            f"{facts.all_masked} {which} have nothing to learn (no answer, or it was cut off) "
            "and were dropped"
        )
    if facts.truncated and reader is not None:
        lines.append(
            f"{facts.truncated} {which} were cut to {reader.limit} tokens; {reader.longer}"
        )
    if facts.unsupervised_turns:
        lines.append(
            f"{facts.unsupervised_turns} assistant turns of {which} could not be found in the "
            "rendered chat and are not trained on: the template changes them"
        )
    return lines


def length_notice(facts: DataFacts, limits: ModelLimits) -> list[str]:
    """Return a notice if samples are longer than what the model was trained on."""
    longest, known = facts.lengths.get(100, 0), limits.trained_positions
    if known is None or longest <= known:
        return []
    return [
        f"the longest sample has {longest} tokens, {limits.name} was made for {known}: what "
        f"comes after them may be learnt badly; dataset.seq_length: {known} cuts it off"
    ]
