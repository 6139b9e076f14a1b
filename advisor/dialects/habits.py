"""What is known of a trainer beside the names of its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Habits:
    """One trainer's answers; the defaults stand for a trainer that we do not know."""

    is_ours: bool = False  # `advise train` runs its configs
    # What ends a run whose config has epochs and max_steps: whichever comes first, or the steps.
    ends_at: Literal["first", "max_steps", "unknown"] = "unknown"
    # The global batch is stated, or the product of local batch, accumulation and devices.
    global_batch: Literal["stated", "product", "unknown"] = "unknown"
    adapter_section: str = ""  # what the fine-tuning method is written as, if it is a section
    takes_adam: bool = False  # AdamW where no optimiser is named
    clips: bool = False  # to a norm of 1.0 where nothing is said
    masks_packed: bool = False  # packed samples do not see each other, whatever the attention
    keeps_stored_precision: bool = False  # no autocast and no loss scaler where none is named


UNKNOWN = Habits()
