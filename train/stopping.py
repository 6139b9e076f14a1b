"""SIGTERM and Ctrl-C ask a run to stop after its step; a second one stops it at once.

Of several processes each may get the signal at another step: they stop after the one at which
they agree on it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Inside its ``with``, the first signal is noted; the second acts as before.

    ``most`` gives the highest of all ranks' numbers; without it there is one process.
    """

    def __init__(self, most: Callable[[int], int] | None = None) -> None:
        self.signal: signal.Signals | None = None
        self._most, self._noted = most, 0
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        return self.signal is not None

    def agree(self) -> None:
        """Return whether any rank got a signal; all ranks must ask after the same step."""
        if self._most is not None and (number := self._most(self._noted)):
            self.signal = signal.Signals(number)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted = self._noted or number
        if self._most is None:
            self.signal = signal.Signals(self._noted)
        if "TORCHELASTIC_RUN_ID" in os.environ:
            # torchrun sends a SIGTERM of its own after each signal that it got too: no second word
            signal.signal(signal.SIGINT, self._before[signal.SIGINT])  # type: ignore[arg-type]
            return
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)  # type: ignore[arg-type]
        self._before.clear()
