"""Signals that depend on the config only."""

from __future__ import annotations

from advisor.signals.base import Signal

SIGNALS: dict[str, Signal] = {}
