"""Live advice: the signals and rules of `advise check`, applied while a run trains."""

from advisor.monitor.changes import Change, Look, Tracker
from advisor.monitor.monitor import Monitor
from advisor.monitor.policy import Policy

__all__ = ["Change", "Look", "Monitor", "Policy", "Tracker"]
