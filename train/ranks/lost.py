"""A rank that is gone: turn the failed collective of the others into one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from train.errors import StepError


class RankLost(StepError):
    """Another process of the run is gone, so the run ends."""


def nobody() -> str:
    """Return the message for a lost rank whose number is unknown."""
    return "another process of the run is gone"


@contextmanager
def together(who: Callable[[], str]) -> Iterator[None]:
    """Turn errors of the process group, which name sockets, into one that names the rank."""
    try:
        yield
        return
    except RuntimeError:
        pass
    raise RankLost(who())
