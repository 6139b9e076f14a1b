"""What the trainer does, and reports, when memory runs out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from train.config.types import SafetyConfig
from train.data.types import Batch
from train.step import can_split


@dataclass(frozen=True, slots=True)
class BatchShape:
    """The shape of what did not fit, for people and for machines."""

    text: str
    details: Mapping[str, object] = field(default_factory=dict)


def shape_of(batch: Batch | None) -> BatchShape:
    """Return the shape of a micro-batch; None: of the optimiser's update."""
    if batch is None:
        return BatchShape("the optimiser's update")
    details = {
        "rows": batch.rows,
        "samples": batch.samples,
        "tokens": batch.input_ids.numel(),
        "longest": batch.longest,
    }
    text = (
        f"a micro-batch of {details['rows']} rows with {details['tokens']} tokens, the longest "
        f"sample {batch.longest}"
    )
    return BatchShape(text, details)


def halve(batch: Batch | None, parts: int, safety: SafetyConfig) -> int | None:
    """Return in how many pieces to try again; None if that is not allowed or not possible."""
    if batch is None or not safety.halve_batch_on_oom or not can_split(batch, parts):
        return None
    return 2 * parts


def advice_for(batch: Batch | None, safety: SafetyConfig) -> str:
    """Return what a user can do about it."""
    if batch is None:
        return (
            "the optimiser's state does not fit: train adapters (a peft section), or take an "
            "8-bit optimiser (optimizer._target_: bitsandbytes.optim.AdamW8bit)"
        )
    if batch.samples > 1 and not safety.halve_batch_on_oom:
        return (
            "lower step_scheduler.local_batch_size (the global batch stays as it is), or set "
            "safety.halve_batch_on_oom: true"
        )
    return (
        "shorten the samples (dataset.seq_length, packed_sequence.packed_sequence_size), set "
        "distributed.activation_checkpointing: true, or train adapters of a quantised model"
    )
