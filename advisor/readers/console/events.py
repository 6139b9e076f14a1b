"""What happened, as a console log tells it: exceptions, out of memory, skipped steps, warnings."""

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
MOST_LAST_WORDS = 40  # last words that are kept: of a hundred ranks the first few tell it all
_TEXT = 400  # characters of a text that are kept

OUT_OF_MEMORY = re.compile(
    r"\b(?:CUDA|NPU|XPU|MLU|MUSA) out of memory|CUDA error: out of memory|OutOfMemoryError|"
    r"DefaultCPUAllocator: (?:not enough|can't allocate) memory|MPS backend out of memory|"
    r"HIP out of memory|RESOURCE_EXHAUSTED|Cannot allocate memory|oom-kill|Out of memory: Kill|"
    r"^\s*Killed\s*$|CUDNN_STATUS_ALLOC_FAILED"
)
# The same, where it is the host whose memory ran out: a smaller batch is no cure for that.
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
# transformers 5 tells of weights that it did not find in a table: `lm_head.weight | MISSING |`
_LOADING = re.compile(r"(\w+) LOAD REPORT")
_NOT_FOUND = re.compile(r"^\s*([\w.{}, -]+?)\s*\|\s*MISSING\b")
_GUTTER = re.compile(r"^\s*(?:\|\s?|\+-[+-]*\s?)")  # of an exception group's parts
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Happening:
    """One event before its step is known."""

    kind: str
    text: str
    line: int
    writer: str = ""  # the mark of the process that wrote the line


@dataclass(slots=True)
class Endings:
    """The lines that may have ended the training, and those that show that it went on."""

    said: list[tuple[int, str, str]] = field(default_factory=list)  # line, kind, text
    closed: int = 0  # line of the last word that the training is over
    _advances: tuple[int, int] = (0, 0)
    _bar: tuple[float, float] = (0.0, 0.0)
    _fenced: bool = False

    def see_line(self, number: int, text: str) -> None:
        """Take note of a fence, or of the word that the training is over."""
        if FENCE.match(text):
            self._fenced = not self._fenced
        elif CLOSING_HINT.search(text) and CLOSING.search(text):
            self.closed = number

    def see_bar(self, number: int, at: float, end: float) -> None:
        """A bar moves on; the last move may only show what was done when it was closed."""
        if (at, end) != self._bar:
            grows = end != self._bar[1] or at > self._bar[0]
            self._bar = (at, end)
            if grows:
                self._advances = (self._advances[1], number)

    def say(self, number: int, kind: str, text: str) -> None:
        """A line that may have been the last words of the training."""
        if self._fenced:
            return
        if len(self.said) >= 2 * MOST_LAST_WORDS:  # what was said first, and what was said last
            del self.said[MOST_LAST_WORDS]
        self.said.append((number, kind, text))

    def last_words(self, alive: float, low: float, high: float) -> list[tuple[int, str, str]]:
        """Those said between two lines after the last sign of life, ``alive`` or a later one."""
        moved = float(self._advances[0])
        alive = max(alive, moved if low <= moved < high else 0.0)
        tail = [each for each in self.said if alive < each[0] and low <= each[0] < high]
        if tail and tail[0][0] < self.closed < high:  # it went on to its end
            tail = [each for each in tail if each[0] > self.closed]
        return tail


@dataclass(slots=True)
class Scanner:
    """Fed with every line that is no metric; keeps what happened."""

    happenings: list[Happening] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)
    endings: Endings = field(default_factory=Endings)
    writer: str = ""  # of the line that is looked at
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)
    _trace_line: int = 0  # 0: not within a traceback
    _evaluating: bool = False
    _framed: bool = False  # the traceback has shown a frame
    _aside: int = 0  # line that says: what follows is of a thread beside, or of the shut-down
    _counts_last: bool = True  # the traceback may be the training's last words
    _loading: str = ""  # class of the model whose load report was seen last

    def feed(self, number: int, text: str) -> None:
        """Look at one cleaned line."""
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
            self.endings.say(number, "oom", text.strip()[:_TEXT])
        elif is_resume(text):
            self._add("resume", text, number, text[:120])
        else:
            self._rarer(number, text)

    def _stop(self, number: int, text: str) -> None:
        """A process that was ended; an exception that says so is one of its last words, too."""
        kind = "exception" if self.raises(text) else "stop"
        self._add(kind, text, number)
        self.endings.say(number, kind, text.strip()[:_TEXT])

    @staticmethod
    def raises(text: str) -> bool:
        """Say whether the line names an exception, so that a number in it is no metric."""
        return ("Error" in text or "Exception" in text) and bool(_RAISED.match(text.strip()))

    @staticmethod
    def skips(text: str) -> bool:
        """Say whether the line tells of a skipped step, so that its loss scale is no metric."""
        return ("verflow" in text or "VERFLOW" in text) and bool(_SKIP.search(text))

    @property
    def in_traceback(self) -> bool:
        return bool(self._trace_line)

    def add_skipped(self, number: int, text: str) -> None:
        """A step that a metric line says was skipped."""
        self._add("overflow_skip", text, number, once=False)

    def _rarer(self, number: int, text: str) -> None:
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
            self.endings.say(number, "exception", text.strip()[:_TEXT])
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
            self.endings.say(number, kind, text[:_TEXT])

    def finish(self, number: int) -> None:
        """The log is over; a traceback that has not ended was cut off."""
        if self._trace_line:
            cut = "a traceback that the log cuts off"
            self._add("exception", cut, self._trace_line)
            if self._framed and self._counts_last:
                self.endings.say(self._trace_line, "exception", cut)
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
        self.happenings.append(Happening(kind, text, number, self.writer))
