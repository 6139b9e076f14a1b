"""How a training that did not end by itself came to its end: the last words of its log, by kind."""

from __future__ import annotations

import re
from collections.abc import Callable

from advisor.findings import Evidence, Reading
from advisor.run import Event
from advisor.signals.base import Signal
from advisor.signals.curves import View

# Of several last words, the first kind in this order is the cause of the others: a rank that runs
# out of memory breaks the collective of its peers, and then the launcher reports them all.
KINDS: dict[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "disk": r"No space left on device|[Dd]isk quota exceeded|Errno (?:28|122)\b|ENOSPC|"
        r"unexpected pos \d+ vs|[Nn]ot enough (?:free )?(?:disk )?space|"
        r"file write failed|failed writing file",
        "device_assert": r"device-side assert|block: \[\d+,\d+,\d+\], thread|"
        r"[Ii]ndex out of range in self|[Ii]ndexing\.cu|CUDA error: assert",
        "host_memory": r"oom[-_ ]?kill|Out Of Memory|[Oo]ut of memory: Kill|OOMKilled|"
        r"(?:^|\s)Killed\b|zsh: killed|\bMemoryError\b|Cannot allocate memory|SIGKILL|"
        r"TERM_MEMLIMIT|"
        r"[Ee]xit ?[Cc]ode(?: is| was)?\W{1,3}(?:-9|137)\b|return code ?[=:] ?(?:-9|137)\b|"
        r"signal (?:9|KILL)\b|running low on memory|all available RAM|: \*\*\* .*Error 137|"
        r"memory usage threshold|"
        r"[Ee]xceeded (?:job|step) memory limit|job killed: v?mem",
        "outside": r"TIME LIMIT|TERM_RUNLIMIT|TERM_CPULIMIT|wall ?time|run ?time limit|"
        r"time limit|DeadlineExceeded|deadline|PREEMPT|[Pp]reempt|NODE.?FAIL|[Ee]victed|"
        r"[Ss]pot (?:instance )?(?:interr|termin|reclaim)|SIGQUIT|"
        r"TERM_(?:PREEMPT|SYSTEM|ADMIN|REQUEUE)|Terminated|SIGTERM|SIGHUP|SIGXCPU|Hangup|"
        r"exit ?code\W{1,3}(?:-15|143|-1|129)\b|return code ?[=:] ?(?:-15|143)\b|"
        r"(?:[Rr]eceived|signal:?) (?:15|12|10|1)\b|SIGUSR",
        "signal": r"Segmentation fault|SIGSEGV|Bus error|SIGBUS|[Kk]ernel .{0,20}died|"
        r": \*\*\* .*Error 139|"
        r"Illegal instruction|SIGILL|Floating point exception|SIGFPE|"
        r"Fatal Python error(?!: Aborted)|double free|corrupt|munmap_chunk|free\(\)|malloc\(\)|"
        r"Caught signal (?!6\b)|"
        r"Process received signal|exit ?code\W{1,3}(?:-11|-7|-4|-8|139|135|132|136)\b|"
        r"return code ?[=:] ?(?:-11|-7|-4|-8)\b|DataLoader worker",
        "device": r"\bXid\b|uncorrectable|ECC|fallen off the bus|illegal memory access|"
        r"unspecified launch failure|misaligned address|IllegalAddress|device unavailable|"
        r"(?:device|GPU)s? (?:is|are) (?:lost|busy or unavailable)|unable to determine the device|"
        r"CU[A-Z]{3,6}_STATUS_(?!ALLOC|NOT_SUPPORTED)[A-Z_]+|"
        r"Memory access fault by GPU|HSA_STATUS_ERROR|"
        r"(?:CUDA|HIP) error: (?!invalid device ordinal|no kernel image|out of memory)|"
        r"no (?:CUDA-capable|NVIDIA) |driver shutting down",
        "by_hand": r"KeyboardInterrupt|SIGINT|\^C|[Ii]nterrupted|by (?:the )?user|TERM_OWNER|"
        r"(?:[Rr]eceived|signal:?) 2\b|exit ?code\W{1,3}(?:-2|130)\b|CANCELLED",
        "collective": r"NCCL|nccl|DistBackendError|Dist(?:Network|Store)Error|ProcessGroup|c10d|"
        r"[Gg]loo|HCCL|RCCL|TCPStore|[Ww]atchdog|Timed out waiting|Rendezvous|MPI_ABORT|"
        r"[Cc]onnection closed by peer|\bALLREDUCE\b|\bALLGATHER\b|barrier",
        # follows almost any failure: C++ ends a process with it
        "abort": r"Aborted|SIGABRT|terminate called|core dumped|Caught signal 6\b|"
        r"exit ?code\W{1,3}(?:-6|134)\b|return code ?[=:] ?-6\b",
        "launcher": r"ChildFailedError|[Ee]xit ?[Cc]ode|exits? with|exited with|return code|"
        r"ExecuteUserScriptError|(?:python|torchrun|accelerate|deepspeed|mpirun|bash|\.sh)"
        r".{0,300}(?:exit status|died with)|"
        r"\bmake\S*: \*\*\*|ProcessExitedException|ProcessRaisedException|terminated with|"
        r"srun: |ActorDiedError|WorkerCrashedError|ChildProcessError",
    }.items()
}
# 'memory' is device memory, which MEM001 reports; 'exception' is any of no other kind
_ORDER = (
    "memory", "disk", "device_assert", "host_memory", "outside", "signal", "device", "by_hand",
    "exception", "collective", "abort", "launcher",
)  # fmt: skip

_LIMIT = re.compile(r"TIME LIMIT|RUNLIMIT|CPULIMIT|wall ?time|time limit|Deadline|deadline")


def kind_of(event: Event) -> str:
    """Return the kind of a last word."""
    if event.kind == "oom":
        return "memory"
    return next((k for k, pattern in KINDS.items() if pattern.search(event.text)), "exception")


def last_words(view: View) -> list[Event]:
    """Return the Events that end a log; none where a later point was logged."""
    ends = [int(s.steps[-1]) for s in view.run.series.values() if len(s)]
    end = max(ends, default=None)
    return [
        e for e in view.run.events if e.final and (e.step is None or end is None or e.step >= end)
    ]


def cause_of_end(view: View) -> tuple[str, list[Event]]:
    """Return the kind that caused the end and the last words of that kind; '' where none."""
    words = last_words(view)
    if not words:
        return "", []
    kinds = [kind_of(event) for event in words]
    root = min(kinds, key=_ORDER.index)
    if kinds[0] == "by_hand":  # failures after Ctrl-C are caused by it
        root = "by_hand"
    return root, [event for event, kind in zip(words, kinds, strict=True) if kind == root]


def _count_events(events: list[Event]) -> Reading:
    if not events:
        return Reading(0.0)
    evidence = tuple(Evidence("event", e.step, None, None, e.text[:300]) for e in events[:3])
    steps = [e.step for e in events if e.step is not None]
    first, last = (min(steps), max(steps)) if steps else (None, None)
    return Reading(float(len(events)), "", first, last, evidence)


def has_ended(view: View) -> bool:
    """Return whether the log says that training was completed."""
    return bool(view.run.facts.get("ended")) or "train_runtime" in view.run.facts


def _counter_of(*kinds: str) -> Callable[[View], Reading]:
    def function(view: View) -> Reading:
        root, events = cause_of_end(view)
        return _count_events(events if root in kinds and not has_ended(view) else [])

    return function


def after_end(view: View) -> Reading:
    """Last words after training had completed. Those of a person do not count, nor those of
    processes that a scheduler ends when the work is done."""
    root, events = cause_of_end(view)
    sent_home = root == "outside" and not any(_LIMIT.search(event.text) for event in events)
    return _count_events(events if has_ended(view) and root != "by_hand" and not sent_home else [])


def _matcher_of(pattern: str) -> Callable[[View], Reading]:
    """Return a function that is 1 where a last word matches the pattern."""
    wanted = re.compile(pattern)

    def function(view: View) -> Reading:
        return Reading(float(any(wanted.search(event.text) for event in last_words(view))))

    return function


_DOCS = {
    "disk": "the run ended on a full disk",
    "device_assert": "the run ended on an index out of range on the device",
    "host_memory": "the run was killed for lack of host memory",
    "outside": "the run was ended by a scheduler or another outside cause",
    "signal": "the process was killed by a signal",
    "device": "the run ended on a device fault",
    "by_hand": "a person stopped the run",
    "collective": "the run ended on a failed collective operation",
    "launcher": "a launcher reports a failed process and no cause",
    "exception": "the run ended in an exception of no other kind",
}
SIGNALS = {
    **{f"crash.{kind}": Signal("times", doc, _counter_of(kind)) for kind, doc in _DOCS.items()},
    "crash.signal": Signal("times", _DOCS["signal"], _counter_of("signal", "abort")),
    "crash.after_end": Signal("times", "an error after training had ended", after_end),
    "crash.full": Signal(
        "0 or 1", "the last words name a full disk", _matcher_of(KINDS["disk"].pattern),
    ),
    "crash.time_limit": Signal(
        "0 or 1", "the last words name a time limit",
        _matcher_of(_LIMIT.pattern),
    ),
    "crash.preempted": Signal(
        "0 or 1", "the last words name a preemption or a lost node",
        _matcher_of(r"PREEMPT|[Pp]reempt|NODE.?FAIL|Evicted|REQUEUE"),
    ),
    "crash.hangup": Signal(
        "0 or 1", "the last words name a closed terminal",
        _matcher_of(r"SIGHUP|Hangup|(?:[Rr]eceived|signal:?) 1\b|exitcode: -1\b"),
    ),
    "crash.timeout": Signal(
        "0 or 1", "the last words name a timeout", _matcher_of(r"(?i)time[d ]{0,2}out|timeout"),
    ),
    "crash.loader": Signal(
        "0 or 1", "the last words name a data loader worker",
        _matcher_of(r"DataLoader worker|Bus error|shm"),
    ),
    "crash.shapes": Signal(
        "0 or 1", "the last words name sizes that do not match",
        _matcher_of(
            r"expected sequence of length|equal size|size mismatch|shapes? .{0,60}(?:mismatch|"
            r"not? (?:match|align|compatible)|cannot be multiplied)|must match|"
            r"Unable to create tensor|inhomogeneous|[Dd]imension out of range|Sizes of tensors"
        ),
    ),
    "crash.file": Signal(
        "0 or 1", "the last words name a file that is missing or not accessible",
        _matcher_of(
            r"FileNotFoundError|No such file|IsADirectoryError|PermissionError|Permission denied|"
            r"Can't load|does not appear to have a file|not a valid (?:JSON|model)|Read-only"
        ),
    ),
    "crash.network": Signal(
        "0 or 1", "the last words name a service that could not be reached",
        _matcher_of(
            r"HTTPError|ConnectionError|MaxRetry|ReadTimeout|ConnectTimeout|SSLError|CommError|"
            r"RepositoryNotFound|GatedRepo|OfflineMode|Name or service not known|4\d\d Client|"
            r"5\d\d Server|HfHubHTTP|Temporary failure in name"
        ),
    ),
    "crash.versions": Signal(
        "0 or 1", "the last words name code that does not match its libraries",
        _matcher_of(
            r"AttributeError|ImportError|ModuleNotFoundError|unexpected keyword|TypeError|"
            r"NotImplementedError|undefined symbol|cannot import|NameError"
        ),
    ),
}  # fmt: skip
