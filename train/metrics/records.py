"""What the trainer says of a run: a row a step, a row an evaluation, and what happened besides.

The names of the fields are AutoModel's, so that its readers read us; those below 'ours' are
added. Steps count from 0; a baseline evaluation stands at step -1, before the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

BASELINE_STEP = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One optimiser step, a row of ``training.jsonl``.

    ``loss`` is the mean over supervised tokens, ``grad_norm`` is taken before clipping, ``lr``
    is the next step's, ``mem`` the peak in GiB. Seconds of forward and backward are sums over
    the micro-batches; ``time_step`` is the whole step without validation and saving.
    """

    step: int
    epoch: int
    timestamp: float
    loss: float
    grad_norm: float
    lr: float
    mem: float
    tps: float
    tps_per_gpu: float
    mfu: float | None
    num_tokens_per_step: int
    num_label_tokens: int
    # ours
    clipped: bool
    skipped: bool  # the step was not applied: its loss or gradient is not finite
    rows: int
    samples: int
    time_step: float
    time_data: float
    time_forward: float
    time_backward: float
    time_optimizer: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRecord:
    """One evaluation, a row of ``validation.jsonl``."""

    step: int
    epoch: int
    timestamp: float
    val_loss: float
    lr: float
    num_label_tokens: int
    mem: float
    name: str = "default"
    baseline: bool = False  # ours: of the model as it was before the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened, a row of ``events.jsonl``.

    ``kind`` is start, notice, end, or a kind of the advisor's Events: exception, oom, resume,
    checkpoint, overflow_skip, warning. ``details`` are numbers and names for machines.
    """

    kind: str
    text: str
    timestamp: float
    step: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


Record = StepRecord | ValidationRecord | EventRecord


def as_line(record: Record) -> str:
    """Return the record as a line of JSON; NaN and Infinity stand bare, as in AutoModel's."""
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
