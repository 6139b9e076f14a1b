"""A rank that is gone: what the others were doing together with it becomes one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from train.errors import StepError


class RankLost(StepError):
    """Another process of the run is gone, and the run with it."""


def nobody() -> str:
    """Return what is known of the rank that is gone: nothing."""
    return "another process of the run is gone"


@contextmanager
def together(who: Callable[[], str]) -> Iterator[None]:
    """Turn the group's errors, which name sockets, into one that says who is gone."""
    try:
        yield
        return
    except RuntimeError:
        pass
    raise RankLost(who())
