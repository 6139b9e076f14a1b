"""Trials to rows of the Ledger and back, without loss: NaN and infinite losses survive, too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from advisor.findings import Severity
from advisor.tuning.trial import BriefFinding, Kind, Status, Trial, TrialChange

_FOLDER = re.compile(r"runs/[A-Za-z0-9_\-]+")  # nothing outside the session
_MOST = 10**15  # upper bound of steps, tokens and seconds in a row


class TrialRow(msgspec.Struct, array_like=True, frozen=True):
    """The types that a row of the Ledger must have, in the order of the columns."""

    number: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    kind: Kind
    values: dict[str, Any]
    changes: list[tuple[str, str, Any, Any, list[str]]]
    config: str
    diff: str
    folder: str
    max_steps: Annotated[int, msgspec.Meta(ge=0, le=_MOST)] | None
    reason: str
    because: list[str]
    state: Literal["planned", "running", "done"]
    outcome: str | None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST)] | None
    exit: int | None
    said: str | None
    verdict: str | None
    attempts: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


def check_row(row: Sequence[Any]) -> TrialRow:
    """Return a row of the Ledger with its JSON decoded; ValueError where tune did not write it."""
    said = list(row)
    for at in (2, 3, 9):  # kept as JSON
        said[at] = json.loads(said[at])
    found = msgspec.convert(said, TrialRow, strict=True)
    if _FOLDER.fullmatch(found.folder) is None:
        raise ValueError(f"run {found.number}: its folder {found.folder!r} is not of this session")
    return found


class _Outcome(msgspec.Struct, frozen=True):
    """The types that a run's result must have in the Ledger; steps and losses of equal length."""

    status: Status
    val_steps: list[int]
    val_losses: list[float]
    loss_steps: list[int]
    losses: list[float]
    best_val: float | None
    noise: float | None
    tokens: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
    findings: list[tuple[str, str, Severity]]
    edits: list[tuple[str, str, Any, Any, list[str]]]


def to_json(value: object) -> str:
    """Return a value as JSON with bare NaN and Infinity, which Python's json reads back."""
    return json.dumps(value, default=str)


def to_row(trial: Trial) -> str:
    """Return a run's result as JSON; its values have a column of their own."""
    return to_json(
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
    """Return the Trial that ``to_row`` wrote; ValueError where the JSON has another form."""
    said = msgspec.convert(json.loads(text), _Outcome)
    if len(said.val_steps) != len(said.val_losses) or len(said.loss_steps) != len(said.losses):
        raise ValueError(f"run {number}: steps and losses differ in number")
    return Trial(
        number=number,
        values=values,
        kind=kind,
        status=said.status,
        val_steps=np.array(said.val_steps, np.int64),
        val_losses=np.array(said.val_losses, np.float64),
        loss_steps=np.array(said.loss_steps, np.int64),
        losses=np.array(said.losses, np.float64),
        best_val=said.best_val,
        noise=said.noise,
        tokens=said.tokens,
        findings=tuple(BriefFinding(*each) for each in said.findings),
        edits=tuple(map(to_change, said.edits)),
        reason=reason,
    )


def to_change(said: Sequence[Any]) -> TrialChange:
    """Return the change that a row holds as a list."""
    key, op, old, new, because = said
    return TrialChange(str(key), str(op), old, new, tuple(because))
