"""Random numbers as a function of seed, rank and step.

Every step starts its generators anew, so a resumed run needs no saved states to draw what an
uninterrupted one draws: dropout of step 50 is the same however step 50 was reached.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache

import numpy as np
import torch

SETUP_STEP = -2  # seeds what is drawn before a run: new adapters, new weights


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed Python's, numpy's and torch's generators for a step (-1: before the first)."""
    digest = hashlib.blake2b(f"{seed}/{rank}/{step}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    random.seed(number)
    np.random.seed(number % 2**32)
    # torch.manual_seed asks every kind of device there could be, which takes 0.1 ms
    torch.default_generator.manual_seed(number % 2**63)
    if _has_gpu():
        torch.cuda.manual_seed_all(number % 2**63)


@cache
def _has_gpu() -> bool:
    return torch.cuda.is_available()
