"""What is known about a trainer beyond the names of its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Habits:
    """Properties of one trainer; the defaults are for an unknown trainer."""

    is_ours: bool = False  # `advise train` runs its configs
    # What ends a run with both epochs and max_steps: whichever comes first, or the steps.
    ends_at: Literal["first", "max_steps", "unknown"] = "unknown"
    # The global batch is stated, or is the product of local batch, accumulation and devices.
    global_batch: Literal["stated", "product", "unknown"] = "unknown"
    adapter_section: str = ""  # the section that sets the fine-tuning method, if any
    takes_adam: bool = False  # defaults to AdamW
    clips: bool = False  # defaults to a norm of 1.0
    masks_packed: bool = False  # packed samples cannot attend to each other, in any attention
    keeps_stored_precision: bool = False  # no autocast and no loss scaler by default


UNKNOWN = Habits()
