"""Events in a console log: exceptions, out of memory, skipped steps, resumes, warnings, ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from advisor.readers.console.messages import (
    ASIDE,
    CLOSING,
    CLOSING_HINT,
    FENCE,
    HINT,
    WARNINGS,
    is_quoted,
    is_resume,
    is_stop,
)

MOST = 2_000  # events of one kind that are kept
MOST_LAST_WORDS = 40  # kept of the first and of the last: of a hundred ranks a few are enough
_TEXT = 400  # characters of a text that are kept

OUT_OF_MEMORY = re.compile(
    r"\b(?:CUDA|NPU|XPU|MLU|MUSA) out of memory|CUDA error: out of memory|OutOfMemoryError|"
    r"DefaultCPUAllocator: (?:not enough|can't allocate) memory|MPS backend out of memory|"
    r"HIP out of memory|RESOURCE_EXHAUSTED|Cannot allocate memory|oom-kill|Out of memory: Kill|"
    r"^\s*Killed\s*$|CUDNN_STATUS_ALLOC_FAILED"
)
# The host's memory ran out, not the device's: a smaller batch does not help.
_HOST = re.compile(
    r"^\s*Killed\s*$|oom-kill|Out of memory: Kill|Cannot allocate memory|exitcode: -9|^MemoryError|"
    r"running low on memory|^ray\.exceptions\.OutOfMemoryError"
)
_SKIP = re.compile(
    r"OVERFLOW!|[Gg]radient overflow|[Oo]verflow detected|"
    r"[Ss]kipping step.{0,40}(?:overflow|scale)|[Oo]verflow.{0,60}[Ss]kipping"
)
_CHECKPOINT = re.compile(
    r"Saving (?:the )?(?:model )?checkpoint(?: to)? .*?(checkpoint-(\d{1,12}))"
)
_RAISED = re.compile(
    r"^(?:\w+: )?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Failure))\b(?:\s*:\s*(.*))?$"
)
_RAISED_OTHER = re.compile(r"^[A-Za-z_][\w.]*(?::\s.*)?$")
_EVALUATION = re.compile(
    r"evaluation_loop|prediction_loop|prediction_step|\bevaluate\b|compute_metrics|"
    r"validation_step|\bvalidate\b|run_validation|eval_step|nested_concat|\beval_loop|"
    r", in _?(?:eval|valid)\w*$"
)
# transformers 5 lists weights that it did not find in a table: `lm_head.weight | MISSING |`
_LOADING = re.compile(r"(\w+) LOAD REPORT")
_NOT_FOUND = re.compile(r"^\s*([\w.{}, -]+?)\s*\|\s*MISSING\b")
_GUTTER = re.compile(r"^\s*(?:\|\s?|\+-[+-]*\s?)")  # margin of the parts of an exception group
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class ConsoleEvent:
    """One event whose step is not known yet."""

    kind: str
    text: str
    line: int
    writer: str = ""  # the prefix of the process that wrote the line


@dataclass(slots=True)
class Endings:
    """Collects messages that may end the training, and signs that it continued."""

    messages: list[tuple[int, str, str]] = field(default_factory=list)  # line, kind, text
    closed: int = 0  # line of the last message that training is complete
    _advances: tuple[int, int] = (0, 0)  # lines of the last two moves of a progress bar
    _bar: tuple[float, float] = (0.0, 0.0)  # count and end of the bar seen last
    _fenced: bool = False  # within quoted text

    def see_line(self, number: int, text: str) -> None:
        """Note a fence of quoted text, or a message that training is complete."""
        if FENCE.match(text):
            self._fenced = not self._fenced
        elif CLOSING_HINT.search(text) and CLOSING.search(text):
            self.closed = number

    def see_bar(self, number: int, at: float, end: float) -> None:
        """Note that a progress bar moved forward.

        Two moves are kept: a bar that is closed prints once more, which is no sign of training.
        """
        if (at, end) != self._bar:
            grows = end != self._bar[1] or at > self._bar[0]
            self._bar = (at, end)
            if grows:
                self._advances = (self._advances[1], number)

    def add(self, number: int, kind: str, text: str) -> None:
        """Add a message that may end the training."""
        if self._fenced:
            return
        if len(self.messages) >= 2 * MOST_LAST_WORDS:  # keep the first and the last ones
            del self.messages[MOST_LAST_WORDS]
        self.messages.append((number, kind, text))

    def last_words(self, alive: float, low: float, high: float) -> list[tuple[int, str, str]]:
        """Return the messages in lines ``[low, high)`` after the last sign of training.

        ``alive`` is the line of the last row of metrics; a progress bar may have moved later.
        """
        moved = float(self._advances[0])
        alive = max(alive, moved if low <= moved < high else 0.0)
        tail = [each for each in self.messages if alive < each[0] and low <= each[0] < high]
        if tail and tail[0][0] < self.closed < high:  # training continued and completed
            tail = [each for each in tail if each[0] > self.closed]
        return tail


@dataclass(slots=True)
class Scanner:
    """Collects the events of a log, fed with every line that holds no metric."""

    found: list[ConsoleEvent] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)  # step -> name of the folder
    endings: Endings = field(default_factory=Endings)
    writer: str = ""  # of the current line
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)
    _trace_line: int = 0  # line at which the current traceback began; 0 outside of one
    _evaluating: bool = False  # the traceback passes through an evaluation loop
    _framed: bool = False  # the traceback has shown a frame
    _aside: int = 0  # line that announces an exception at shutdown or in another thread
    _counts_last: bool = True  # the traceback may end the training
    _loading: str = ""  # class of the model whose load report was seen last

    def feed(self, number: int, text: str) -> None:
        """Search one cleaned line for an event."""
        if self._trace_line:
            self._in_traceback(number, text)
            return
        self.endings.see_line(number, text)
        if ASIDE.match(text):
            self._aside = number
            return
        if is_stop(text):
            self._stop(number, text)
            return
        if not HINT.search(text):
            return
        if _TRACEBACK in text and not is_quoted(text, text.index(_TRACEBACK)):
            self._trace_line, self._evaluating, self._framed = number, False, False
            self._counts_last = not self._aside or number - self._aside > 2
        elif _SKIP.search(text):
            self._add("overflow_skip", text, number, once=False)
        elif OUT_OF_MEMORY.search(text) and not _HOST.search(text):
            self._add("oom", text, number)
            self.endings.add(number, "oom", text.strip()[:_TEXT])
        elif is_resume(text):
            self._add("resume", text, number, text[:120])
        else:
            self._add_rarer(number, text)

    def _stop(self, number: int, text: str) -> None:
        """Add the end of a process; where an exception reports it, the event is an exception."""
        kind = "exception" if self.is_exception(text) else "stop"
        self._add(kind, text, number)
        self.endings.add(number, kind, text.strip()[:_TEXT])

    @staticmethod
    def is_exception(text: str) -> bool:
        """Return whether the line names an exception, so that a number in it is no metric."""
        return ("Error" in text or "Exception" in text) and bool(_RAISED.match(text.strip()))

    @staticmethod
    def is_skip(text: str) -> bool:
        """Return whether the line reports a skipped step, so that its loss scale is no metric."""
        return ("verflow" in text or "VERFLOW" in text) and bool(_SKIP.search(text))

    @property
    def in_traceback(self) -> bool:
        """Whether a traceback has begun and not ended."""
        return bool(self._trace_line)

    def add_skipped(self, number: int, text: str) -> None:
        """Add a skipped step that a line of metrics reports."""
        self._add("overflow_skip", text, number, once=False)

    def _add_rarer(self, number: int, text: str) -> None:
        """Search a line for checkpoints, weights not found, exceptions and warnings."""
        if report := _LOADING.search(text):
            self._loading = report[1]
        elif self._loading and (lost := _NOT_FOUND.match(text)):
            self._add("warning", f"{self._loading} newly initialized: '{lost[1]}'", number)
        saved = _CHECKPOINT.search(text)
        raised = _RAISED.match(text.strip())
        if saved and len(self.checkpoints) < MOST:
            self.checkpoints[int(saved[2])] = saved[1]
        elif raised and (raised[2] or "." not in raised[1]):
            self._add("exception", text, number)
            self.endings.add(number, "exception", text.strip()[:_TEXT])
        for known in WARNINGS:
            if known.search(text):
                self._add("warning", text, number, known.pattern)

    def _in_traceback(self, number: int, text: str) -> None:
        if _EVALUATION.search(text):
            self._evaluating = True
        text = _GUTTER.sub("", text, count=1)
        stripped = text.strip()
        if text[:1].isspace() or not stripped or stripped[0] in "^~":
            self._framed |= stripped.startswith("File ")
            if number - self._trace_line > 400:
                self._trace_line = 0
            return
        if _TRACEBACK in text:
            return
        self._trace_line = 0
        if (
            _RAISED.match(stripped)
            or _RAISED_OTHER.match(stripped)
            or OUT_OF_MEMORY.search(stripped)
        ):
            self._raise(number, stripped)

    def _raise(self, number: int, text: str) -> None:
        where = " (within an evaluation loop)" if self._evaluating else ""
        kind = "exception"
        if OUT_OF_MEMORY.search(text) and not _HOST.search(text):
            kind, text = "oom", text[: _TEXT - len(where)] + where
            self._add(kind, text, number, text[:80])
        else:
            self._add(kind, text, number)
        if self._framed and self._counts_last:
            self.endings.add(number, kind, text[:_TEXT])

    def finish(self, number: int) -> None:
        """End the log; a traceback that is still open was cut off."""
        if self._trace_line:
            cut = "a traceback that the log cuts off"
            self._add("exception", cut, self._trace_line)
            if self._framed and self._counts_last:
                self.endings.add(self._trace_line, "exception", cut)
            self._trace_line = 0

    def _add(
        self, kind: str, text: str, number: int, identity: str = "", once: bool = True
    ) -> None:
        text = text.strip()[:_TEXT]
        key = (kind, identity or re.sub(r"\d+", "#", text)[:80])
        if (once and key in self._seen) or self._counts.get(kind, 0) >= MOST:
            return
        self._seen.add(key)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self.found.append(ConsoleEvent(kind, text, number, self.writer))
