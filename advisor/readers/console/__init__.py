"""Console text logs, whoever printed them: ``reader`` reads, the others know one thing each."""

from advisor.readers.console.reader import read, sniff

__all__ = ["read", "sniff"]
