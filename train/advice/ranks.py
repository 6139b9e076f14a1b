"""The processes of a run: what the first decides, all do; who lags or is gone is told."""

from __future__ import annotations

from typing import Protocol

from train.advice.decide import Decision


class Ranks(Protocol):
    """``agree`` gives every rank the first one's decision."""

    def agree(self, decision: Decision | None) -> Decision | None: ...


class Alone:
    """One process."""

    def agree(self, decision: Decision | None) -> Decision | None:
        return decision
