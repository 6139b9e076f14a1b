"""How a log ends: lines by which a process, a launcher, a scheduler or a person ended training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOST = 40  # last words that are kept: of a hundred ranks the first few tell it all

_SHELL = (
    r"(?:Killed|Terminated|Aborted|Segmentation fault|Bus error|Illegal instruction|Hangup|"
    r"Floating point exception|Alarm clock)"
)
# Quick and wide, as HINT of console_warnings: lines worth holding against STOP.
HINT = re.compile(
    r"Killed|killed|Terminated|Abort|fault|Bus error|Illegal inst|Hangup|Floating point|slurm|srun|"
    r"TERM_|oom|OOM|exit|return code|died with|signal|Signal|Fatal|terminate called|corrupt|"
    r"free\(\)|malloc|munmap|NCCL|nccl|Gloo|gloo|Watchdog|HCCL|RCCL|No space left|quota|Xid|ECC|"
    r"the bus|Assertion|assert|[Pp]reempt|Evicted|Deadline|wall ?time|Interrupted|interrupted|\^C|"
    r"CANCELLED|raining (?:has )?(?:failed|crashed|aborted)|Detected Keyboard|timed? ?out|"
    r"MPI_ABORT|SIG[A-Z]{2}|[Ss]pot |Exit|(?:CUDA|HIP) err|^make|session crashed|"
    r"ernel (?:appears|died)|ErrorMessage|UserScript"
)
STOP = re.compile(
    # the shell of the process
    rf"^\s*(?:zsh: |\S+: line \d+: +\d+ )?(?:\[\d+\][ +-]*(?=.*python))?(?:\d+ +)?(?i:{_SHELL})"
    r"(?:\s*\(core dumped\)|\s+\S*(?:python|torchrun|accelerate|deepspeed|srun|mpirun|bash|"
    r"\./).*)*\s*$|"
    rf"^\S+: line \d+: +\d+ {_SHELL}|"
    r"^\s*\^C\s*$|"
    # the scheduler, and the killer of those who take too much memory
    r"slurmstepd: error: .*(?:CANCELLED|oom|OOM|[Ee]xceeded|memory)|"
    r"srun: (?:error: .*(?:Killed|Terminated|fault|Abort|Out Of Memory|Bus error|"
    r"[Ee]xit(?:ed)? (?:with )?(?:exit )?code [1-9])|Job step aborted)|"
    r"\bTERM_[A-Z]+: job |PBS: job killed|job killed: (?:wall|mem|vmem|cpu)|"
    r"\boom[-_]kill|invoked oom-killer|[Oo]ut of memory: Kill|\bOOMKilled\b|"
    r"\b(?:DeadlineExceeded|Evicted|Preempted)\b|"
    r"active longer than (?:the )?specified deadline|"
    r"(?:time|wall ?time|run ?time) limit (?:was |has been |is )?(?:reached|exceeded|hit)|"
    r"[Ee]xceed(?:ed|s) (?:the |its |job )*(?:wall ?time|time limit|run ?time|walltime)|"
    r"(?i:job(?: \S+)?|instance|node|VM|worker|machine|pod) "
    r"(?:was |has been |is being |got )?(?:preempted|evicted)|"
    r"[Pp]reemption (?:notice |signal |request )?(?:was )?received|"
    r"[Rr]eceived (?:a )?preemption|[Ss]pot (?:instance )?(?:interruption|termination|reclaim)|"
    # the launcher
    r"failed \(exitcode: -?[1-9]|exit(?:s|ed)? with (?:return |exit )?(?:code|status)[: =]+-?[1-9]|"
    r"terminated with (?:exit code|signal|the following error)|died with <Signals\.|"
    r"exited on signal \d|ExecuteUserScriptError|^ErrorMessage [\"']|"
    r"^make(?:\[\d+\])?: \*\*\* .*Error [1-9]|session crashed (?:after|for)|"
    r"[Kk]ernel (?:appears to have )?died|"
    r"returned non-zero exit status|[Cc]ommand terminated by signal|"
    r"[Rr]eceived (?:Signals\.\w+|SIG\w+|\d+) death signal|Process got signal: \d|"
    r"(?:[Rr]eceived|[Cc]aught|[Gg]ot) (?:signal:? )?(?:Signals\.)?"
    r"SIG(?:TERM|INT|HUP|USR[12]|XCPU|QUIT)\b|(?:[Rr]eceived|[Cc]aught|[Gg]ot|with) "
    r"signal:? ?(?:1|2|10|12|15)\b|"
    r"[Ee]xit ?[Cc]ode(?: is| was|:) ?-?[1-9]\d*\b|"
    # the process itself
    r"Fatal Python error: |Caught signal \d|\*\*\* Process received signal|"
    r"^terminate called (?:after|without)|double free or corruption|corrupted (?:size|double)|"
    r"munmap_chunk\(\)|free\(\): |malloc\(\): |MPI_ABORT was invoked|"
    r"DataLoader worker \(pid.{0,30}\) (?:is killed by signal|exited unexpectedly)|"
    # what several processes do together
    r"Watchdog caught collective|NCCL error|NCCL operations have failed or timed out|"
    r"nccl(?:System|Internal|Remote|UnhandledCuda)\w*Error|Timeout at NCCL work|"
    r"(?:Watchdog|watchdog) thread terminated with exception|NCCL WARN .*(?:failed|[Cc]onnection)|"
    r"[Gg]loo.{0,80}(?:[Tt]imed? ?out|failed|error|[Cc]onnection closed)|"
    r"Timed out waiting \d+ ?ms for|(?:HCCL|RCCL) (?:error|.*timeout)|"
    # device and disk
    r"^(?:Error: |.*\b(?:FATAL|ERROR|CRITICAL)\b.*)(?:CUDA|HIP) error: |No space left on device|"
    r"[Dd]isk quota exceeded|device-side assert|"
    r"block: \[\d+,\d+,\d+\], thread: .*Assertion .*failed|NVRM: Xid|"
    r"fallen off the bus|uncorrectable (?:NVLink|ECC)|"
    # a logger, a person
    r"\b(?:ERROR|CRITICAL|FATAL|[Ee]rror)\b.{0,80}\b[Tt]raining (?:has )?"
    r"(?:failed|crashed|aborted)|"
    r"Detected KeyboardInterrupt|[Ii]nterrupted by (?:the )?user|"
    r"^\s*(?:[Tt]raining )?[Ii]nterrupted\b[.!]?\s*$|"
    r"\b[Tt]raining (?:was )?(?:interrupted|stopped) by (?:the )?user"
)
# Not the end of a training: another process of the shell, a code of 0, what is only announced.
_NO_STOP = re.compile(
    r"exit ?code:? 0\b|return code ?=? 0\b|will be (?:killed|preempted|overridden)|"
    r"nvidia-smi|Sending process \d+ closing signal|TORCH_USE_CUDA_DSA"
)
# What an interpreter says on its way out, or of a thread beside the training, ends nothing.
ASIDE = re.compile(
    r"^Exception ignored in|^Exception in thread|^--- Logging error ---|^Error in atexit|"
    r"^Error in sys\.excepthook"
)
CLOSING = re.compile(
    r"\b[Tt]raining (?:is |was |has |successfully |run )*(?:completed?|finished|done|ended|over)\b"
    r"(?! (?:with|in) (?:an? )?(?:error|failure|exception))|"
    r"\b(?:[Dd]one|[Ff]inished|[Cc]ompleted) (?:with )?(?:the )?training\b|"
    r"[Mm]ax_(?:steps|epochs)=\d+` reached|\btrain_runtime\b"
)
CLOSING_HINT = re.compile(r"raining|reached|train_runtime")
# A fence opens or closes text that is quoted: samples, generated answers, code.
_FENCE = re.compile(r"^\s*(?:```|~~~)")
# What may stand before a real 'Traceback': a bar, a time, a level, a rank.
_BEFORE = re.compile(
    r"\+ Exception Group $|\]\s*$|\d{2}:\d{2}|ERROR|CRITICAL|\brank|\bpid\b|\|\s*$"
)


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
        if _FENCE.match(text):
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
        if len(self.said) >= 2 * MOST:  # what was said first, and what was said last
            del self.said[MOST]
        self.said.append((number, kind, text))

    def last_words(self, alive: float, low: float, high: float) -> list[tuple[int, str, str]]:
        """Those said between two lines after the last sign of life, ``alive`` or a later one."""
        moved = float(self._advances[0])
        alive = max(alive, moved if low <= moved < high else 0.0)
        tail = [each for each in self.said if alive < each[0] and low <= each[0] < high]
        if tail and tail[0][0] < self.closed < high:  # it went on to its end
            tail = [each for each in tail if each[0] > self.closed]
        return tail


def is_stop(text: str) -> bool:
    """Say whether a line, no traceback, says that a process was ended."""
    return bool(HINT.search(text) and STOP.search(text) and not _NO_STOP.search(text))


def is_quoted(text: str, at: int) -> bool:
    """Say whether 'Traceback' at this place of a line stands in other text: a sample, a
    quotation."""
    before = text[:at]
    return bool(before) and not _BEFORE.search(before)
