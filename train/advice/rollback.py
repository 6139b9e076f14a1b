"""Load the state to roll back to: one for all ranks, chosen by the first."""

from __future__ import annotations

from dataclasses import asdict

from train.advice.recovery import Recovery
from train.advice.saved_states import SavedState
from train.checkpoint import Checkpoints


def restore_before(
    onset: int, recovery: Recovery, checkpoints: Checkpoints | None
) -> SavedState | None:
    """Load the newest state saved before a step and return it; None where there is none.

    A run that kept no states before it was resumed has its checkpoints.
    """
    kept = recovery.newest(onset)
    older = checkpoints.before(onset) if kept is None and checkpoints is not None else None
    said = [asdict(kept) if kept else None, older.name if older else None]
    state, name = recovery.ranks.share(said)
    found: SavedState | None = None
    if state is not None and recovery.states is not None:
        found = SavedState(**state)
        recovery.states.load(found)
    elif name is not None and checkpoints is not None:
        then = checkpoints.load(checkpoints.directory / name)
        found = SavedState(then.progress.step, then.train_loss, then.val_loss)
    recovery.ranks.most(0)  # the first one writes only when all have read
    return found
