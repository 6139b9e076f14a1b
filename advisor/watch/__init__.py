"""Logs that grow: look at them again and again, and say what is new in what is found."""

from advisor.watch.followed import Followed
from advisor.watch.watcher import News, Watcher

__all__ = ["Followed", "News", "Watcher"]
