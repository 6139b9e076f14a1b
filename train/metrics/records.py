"""What the trainer logs: a row a step, a row an evaluation, and a row an event.

The names of the fields are AutoModel's, so that its log readers can read our logs; the fields
below 'ours' are our own. Steps and epochs count from 0; an evaluation before the first step is
logged at step -1. A field is None only where its comment says when.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

BASELINE_STEP = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One optimiser step over all ranks, a row of ``training.jsonl``.

    Counts are sums over all ranks; memory and the ``time_`` fields are those of rank 0.
    """

    step: int  # from 0
    epoch: int  # from 0
    timestamp: float  # seconds since 1970, at the end of the step
    loss: float  # nats per supervised token, the mean over the global batch; may be NaN or inf
    grad_norm: float  # 2-norm over all trained weights, before clipping; may be NaN or inf
    lr: float  # of the next step
    mem: float  # GiB: the peak so far of the GPU allocator, or of the process on a CPU
    tps: float  # tokens per second over all ranks, unsupervised ones included
    tps_per_gpu: float  # tps divided by the number of ranks
    mfu: float | None  # 0 to 1: share of the device's peak FLOP/s; None if that is unknown
    num_tokens_per_step: int  # tokens, supervised or not
    num_label_tokens: int  # supervised tokens
    # ours
    clipped: bool  # grad_norm was above clip_grad_norm.max_norm
    skipped: bool  # the step was not applied: its loss or gradient is not finite
    rows: int  # rows of the global batch: one sample each or, packed, several
    samples: int  # samples in those rows
    time_step: float  # seconds of the whole step, without validation and saving
    time_data: float  # seconds spent waiting for batches
    time_forward: float  # seconds, summed over the micro-batches
    time_backward: float  # seconds, summed over the micro-batches
    time_optimizer: float  # seconds for clipping and the update


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRecord:
    """One evaluation, a row of ``validation.jsonl``."""

    step: int  # the last step before the evaluation; BASELINE_STEP before the first
    epoch: int  # from 0
    timestamp: float  # seconds since 1970
    val_loss: float  # nats per supervised token, the mean over the whole set
    lr: float  # of the next step
    num_label_tokens: int  # supervised tokens of the set
    mem: float  # GiB, as in StepRecord
    name: str = "default"  # of the validation set
    baseline: bool = False  # ours: the evaluation before the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened, a row of ``events.jsonl``.

    ``kind`` is start, notice, finding, stop, rollback, lag, rank_silent, end, or a kind of the
    advisor's Events: exception, oom, resume, checkpoint, overflow_skip, warning. ``details``
    holds the numbers and names in the text, for programs.
    """

    kind: str
    text: str  # one line for people
    timestamp: float  # seconds since 1970
    step: int | None = None  # None: no step is known (rank_silent, exception, most notices)
    details: Mapping[str, object] = field(default_factory=dict)


Record = StepRecord | ValidationRecord | EventRecord


def as_line(record: Record) -> str:
    """Return the record as a line of JSON, with bare NaN and Infinity, as AutoModel writes it."""
    return json.dumps(asdict(record)) + "\n"


def as_scalars(record: StepRecord | ValidationRecord) -> dict[str, float]:
    """Return the numbers of a record for a tracker, under 'train/' or 'val/'."""
    fields = asdict(record)
    if isinstance(record, ValidationRecord):
        prefix = "val" if record.name == "default" else f"val/{record.name}"
        return {f"{prefix}/loss": record.val_loss}
    left_out = ("step", "timestamp", "mfu") if record.mfu is None else ("step", "timestamp")
    return {f"train/{k}": float(v) for k, v in fields.items() if k not in left_out}


def console_line(record: StepRecord | ValidationRecord) -> str:
    """Return the line that AutoModel's console shows, which log readers know."""
    if isinstance(record, ValidationRecord):
        return (
            f'[val] name "{record.name}" | step {record.step} | epoch {record.epoch} | '
            f"loss {record.val_loss:.4f} | lr {record.lr:.2e} | "
            f"num_label_tokens {record.num_label_tokens}"
        )
    return (
        f"step {record.step} | epoch {record.epoch} | loss {record.loss:.4f} | "
        f"grad_norm {record.grad_norm:.4f} | lr {record.lr:.2e} | mem {record.mem:.2f} GiB | "
        f"tps {record.tps:.2f}({record.tps_per_gpu:.2f}/gpu) | "
        f"num_label_tokens {record.num_label_tokens}"
    )
