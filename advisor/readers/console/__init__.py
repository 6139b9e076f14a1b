"""Console text logs of any trainer.

``scan`` goes through the lines once: ``dicts``, ``pairs`` (with ``layouts``) and ``tables`` find
rows of numbers, ``events`` finds what happened, ``words`` and ``messages`` hold the wording.
``writers`` removes what several processes repeat, ``runs`` separates runs, ``steps`` (with
``inferred``) places the rows, and ``reader`` makes Runs of it all.
"""

from advisor.readers.console.reader import read, sniff

__all__ = ["read", "sniff"]
