"""Trials as rows of the Ledger and back, to the bit; non-finite losses included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advisor.tuning.trial import Change, Kind, Said, Trial


def bare(value: object) -> str:
    """Return a value as JSON; NaN and Infinity stand bare, as Python reads them."""
    return json.dumps(value, default=str)


def to_row(trial: Trial) -> str:
    """Return what a run gave, beside its values."""
    return bare(
        {
            "status": trial.status,
            "val_steps": trial.val_steps.tolist(),
            "val_losses": trial.val_losses.tolist(),
            "loss_steps": trial.loss_steps.tolist(),
            "losses": trial.losses.tolist(),
            "best_val": trial.best_val,
            "noise": trial.noise,
            "tokens": trial.tokens,
            "findings": trial.findings,
            "edits": trial.edits,
        }
    )


def from_row(
    text: str, number: int, kind: Kind, values: Mapping[str, object], reason: str
) -> Trial:
    """Return the Trial of a row."""
    said: dict[str, Any] = json.loads(text)
    return Trial(
        number=number,
        values=values,
        kind=kind,
        status=said["status"],
        val_steps=np.array(said["val_steps"], np.int64),
        val_losses=np.array(said["val_losses"], np.float64),
        loss_steps=np.array(said["loss_steps"], np.int64),
        losses=np.array(said["losses"], np.float64),
        best_val=said["best_val"],
        noise=said["noise"],
        tokens=said["tokens"],
        findings=tuple(Said(*each) for each in said["findings"]),
        edits=tuple(map(change, said["edits"])),
        reason=reason,
    )


def change(said: Sequence[Any]) -> Change:
    key, op, old, new, because = said
    return Change(str(key), str(op), old, new, tuple(because))
