"""Where a way back leads: one state for all ranks, by the first one's choice."""

from __future__ import annotations

from dataclasses import asdict

from train.advice.recovery import Recovery
from train.advice.saved_states import SavedState
from train.checkpoint import Checkpoints


def take_up(onset: int, adviser: Recovery, checkpoints: Checkpoints | None) -> SavedState | None:
    """Set the run to the newest state from before a step; None where there is none.

    A run that kept no states before it was resumed has its checkpoints.
    """
    kept = adviser.newest(onset)
    older = checkpoints.before(onset) if kept is None and checkpoints is not None else None
    said = [asdict(kept) if kept else None, older.name if older else None]
    state, name = adviser.ranks.share(said)
    found: SavedState | None = None
    if state is not None and adviser.good is not None:
        found = SavedState(**state)
        adviser.good.load(found)
    elif name is not None and checkpoints is not None:
        then = checkpoints.load(checkpoints.directory / name)
        found = SavedState(then.progress.step, then.train_loss, then.val_loss)
    adviser.ranks.most(0)  # the first one writes only when all have read
    return found
