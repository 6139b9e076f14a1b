"""Following logs that grow: read them again and again, and report what is new."""

from advisor.watch.followed import Followed
from advisor.watch.watcher import News, Watcher

__all__ = ["Followed", "News", "Watcher"]
