"""The wording of lines that report an event: a warning, a resume, or the end of the process.

To support another trainer's wording, add an alternative to one of these patterns. Only lines that
match ``HINT`` (``END_HINT`` for ``STOP``) are tested against the slower patterns, so a new
alternative usually needs a fragment in the hint, too.
"""

from __future__ import annotations

import re

_FROM = r"(?!.{0,30}(?:data|tokeni|config|vocab))(?:\w+ ){0,3}from (?:\S*[/\\])?"
_PLACE = r"(?:checkpoint|ckpt|global_?step|step|epoch|iter(?:ation)?)s?[-_=]?0*[1-9]\d*"
RESUME_HINT = (
    r"[Rr]esum|Continuing training|Continu(?:e|ing) from|Restor(?:ing|ed) |[Ll]oad(?:ing|ed) |"
    r"[Ww]ill skip"
)
_RESUME = re.compile(
    # Hugging Face, axolotl, accelerate, nanoGPT, composer, mmengine ('resumed epoch: 12')
    r"\b[Rr]esum(?:e|ed|ing)\b.{0,40}\b(?:from|training|checkpoint|epoch|at step|iter)|"
    r"[Aa]uto-?[Rr]esume functionality to start|"
    r"\bContinu(?:e|ing) (?:training\b|from )|[Ww]ill skip (?:the first|to saved)|"
    # Lightning, NeMo
    r"Restor(?:ing|ed) (?:all )?states? from|"
    # Megatron, DeepSpeed, Hugging Face: a checkpoint with the step that it was saved at
    r"[Ll]oad(?:ing|ed) .{0,60}checkpoint.{0,300} at iteration [1-9]|"
    rf"[Ll]oad(?:ing|ed) {_FROM}{_PLACE}|"
    # fairseq, torchvision: loaded checkpoint X (epoch 12 @ 1000 updates)
    r"[Ll]oaded checkpoint .{0,300}\((?:epoch|step|iter)|"
    # DeepSpeech; 'Loading best model from' reports the end of a run, not a resume
    r"Loading (?:best|last|latest|most recent)(?: \w+)? checkpoint\b"
)
_NO_RESUME = re.compile(
    r"(?:\bnot?|n't|\bto|\bcan|\bcannot|\bwithout|\bcould|\bmay|\bbefore|\bno checkpoint.{0,40})"
    r" (?:be )?(?:resum|continu)|[Rr]esum\w*['\"]?\s*[:=]\s*(?:[Ff]alse|[Nn]one|null|0\b)|"
    r"\bbest model\b",
    re.IGNORECASE,
)
# A cheap filter: every line that is no metric is searched for it.
HINT = re.compile(
    r"Traceback|[Mm]emory|OutOfMemory|OVERFLOW|[Oo]verflow|^Killed|\bKilled\b|"
    r"requires?[_ ]grad|newly initialized|Token indices|Error\b|Exception\b|Interrupt|mask|"
    r"response (?:key|template)|Saving model checkpoint|[Mm]ismatch|"
    r"[Ss]kipping (?:step|the batch)|Saving (?:the )?checkpoint|loss scale|[Tt]runcat|"
    r"rainable param|BOS|labels|attention|(?:EOS|eos)[ _]token|end-of-text|"
    r"[Dd]uplicat|[Oo]verlap|[Ll]eak|cut (?:to|off)|trained on|embedding|LOAD REPORT|MISSING|"
    + RESUME_HINT
)
# Warnings of known trainers, each reported once; rules look at the text (signals/events.py).
WARNINGS = (
    re.compile(r"None of the inputs have requires_grad|does not require grad"),
    re.compile(r"newly initialized"),
    re.compile(r"Token indices sequence length is longer"),
    re.compile(
        r"[Aa]ll (?:the )?labels|[Ll]abels? .{0,40}(?:all|only) .{0,12}-100|"
        r"Could not find (?:response|instruction) (?:key|template)|"
        r"[Nn]o (?:supervised|label) tokens|fully masked"
    ),
    re.compile(r"[Tt]okenization mismatch"),
    re.compile(r"loss scale already at minimum|[Mm]inimum loss scale reached"),
    re.compile(r"(?<![-\w])[Tt]rainable param\w* ?[:=] ?0(?![\d.,]*\d)|^\s*0\s+[Tt]rainable param"),
    re.compile(r"double BOS|(?:2|two) BOS tokens|also starts with a BOS"),
    re.compile(r"[Rr]esizing the embedding|new embeddings .{0,20}initiali|Resized token embedding"),
    re.compile(r"with the `?eager`? attention implementation|unexpected results .{0,40}attention"),
    re.compile(
        r"(?:samples?|examples?|rows?|sequences?|answers?) "
        r"(?:were|was|will be|are|is|have been) (?:truncated|cut (?:to|off))|"
        r"[Tt]runcated .{0,30}(?:samples|examples|sequences)"
    ),
    re.compile(
        r"(?:not|n't|without|no|missing) .{0,25}(?:EOS|eos|end-of-text)[ _]token|"
        r"(?:EOS|eos|end-of-text)[ _]token .{0,30}(?:not|missing|never)"
    ),
    re.compile(
        r"[Dd]uplicated? .{0,30}(?:samples|rows|examples)|"
        r"(?:samples|rows|examples) .{0,30}[Dd]uplicate"
    ),
    re.compile(
        r"(?:[Oo]verlap|[Ll]eak)\w* (?:between|of|from|with|into) .{0,40}validation|"
        r"validation (?:samples|examples|rows|data|set) .{0,60}(?:overlap|trained on|the training)"
    ),
)
_SHELL = (
    r"(?:Killed|Terminated|Aborted|Segmentation fault|Bus error|Illegal instruction|Hangup|"
    r"Floating point exception|Alarm clock)"
)
# A cheap filter for STOP.
END_HINT = re.compile(
    r"Killed|killed|Terminated|Abort|fault|Bus error|Illegal inst|Hangup|Floating point|slurm|srun|"
    r"TERM_|oom|OOM|exit|return code|died with|signal|Signal|Fatal|terminate called|corrupt|"
    r"free\(\)|malloc|munmap|NCCL|nccl|Gloo|gloo|Watchdog|HCCL|RCCL|No space left|quota|Xid|ECC|"
    r"the bus|Assertion|assert|[Pp]reempt|Evicted|Deadline|wall ?time|Interrupted|interrupted|\^C|"
    r"CANCELLED|raining (?:has )?(?:failed|crashed|aborted)|Detected Keyboard|timed? ?out|"
    r"MPI_ABORT|SIG[A-Z]{2}|[Ss]pot |Exit|(?:CUDA|HIP) err|^make|session crashed|"
    r"ernel (?:appears|died)|ErrorMessage|UserScript"
)
STOP = re.compile(
    # from the shell
    rf"^\s*(?:zsh: |\S+: line \d+: +\d+ )?(?:\[\d+\][ +-]*(?=.*python))?(?:\d+ +)?(?i:{_SHELL})"
    r"(?:\s*\(core dumped\)|\s+\S*(?:python|torchrun|accelerate|deepspeed|srun|mpirun|bash|"
    r"\./).*)*\s*$|"
    rf"^\S+: line \d+: +\d+ {_SHELL}|"
    r"^\s*\^C\s*$|"
    # from the scheduler and the kernel's out-of-memory killer
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
    # from the launcher
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
    # from the process itself
    r"Fatal Python error: |Caught signal \d|\*\*\* Process received signal|"
    r"^terminate called (?:after|without)|double free or corruption|corrupted (?:size|double)|"
    r"munmap_chunk\(\)|free\(\): |malloc\(\): |MPI_ABORT was invoked|"
    r"DataLoader worker \(pid.{0,30}\) (?:is killed by signal|exited unexpectedly)|"
    # from collective communication
    r"Watchdog caught collective|NCCL error|NCCL operations have failed or timed out|"
    r"nccl(?:System|Internal|Remote|UnhandledCuda)\w*Error|Timeout at NCCL work|"
    r"(?:Watchdog|watchdog) thread terminated with exception|NCCL WARN .*(?:failed|[Cc]onnection)|"
    r"[Gg]loo.{0,80}(?:[Tt]imed? ?out|failed|error|[Cc]onnection closed)|"
    r"Timed out waiting \d+ ?ms for|(?:HCCL|RCCL) (?:error|.*timeout)|"
    # from the device and the disk
    r"^(?:Error: |.*\b(?:FATAL|ERROR|CRITICAL)\b.*)(?:CUDA|HIP) error: |No space left on device|"
    r"[Dd]isk quota exceeded|device-side assert|"
    r"block: \[\d+,\d+,\d+\], thread: .*Assertion .*failed|NVRM: Xid|"
    r"fallen off the bus|uncorrectable (?:NVLink|ECC)|"
    # from a logger, or from a person who interrupts
    r"\b(?:ERROR|CRITICAL|FATAL|[Ee]rror)\b.{0,80}\b[Tt]raining (?:has )?"
    r"(?:failed|crashed|aborted)|"
    r"Detected KeyboardInterrupt|[Ii]nterrupted by (?:the )?user|"
    r"^\s*(?:[Tt]raining )?[Ii]nterrupted\b[.!]?\s*$|"
    r"\b[Tt]raining (?:was )?(?:interrupted|stopped) by (?:the )?user"
)
# Not the end of training: another process of the shell, exit code 0, or an announcement.
_NO_STOP = re.compile(
    r"exit ?code:? 0\b|return code ?=? 0\b|will be (?:killed|preempted|overridden)|"
    r"nvidia-smi|Sending process \d+ closing signal|TORCH_USE_CUDA_DSA"
)
# Exceptions that do not end training: those raised at interpreter shutdown or in another thread.
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
# A fence opens or closes quoted text: samples, generated answers, code.
FENCE = re.compile(r"^\s*(?:```|~~~)")
# What may precede a real 'Traceback' on its line: a progress bar, a time, a level, a rank.
_BEFORE = re.compile(
    r"\+ Exception Group $|\]\s*$|\d{2}:\d{2}|ERROR|CRITICAL|\brank|\bpid\b|\|\s*$"
)


def is_resume(text: str) -> bool:
    """Return whether a line reports that a run resumes from a checkpoint."""
    return bool(_RESUME.search(text)) and not _NO_RESUME.search(text)


def is_stop(text: str) -> bool:
    """Return whether a line (not of a traceback) reports that a process was ended."""
    return bool(END_HINT.search(text) and STOP.search(text) and not _NO_STOP.search(text))


def is_quoted(text: str, at: int) -> bool:
    """Return whether 'Traceback' at offset ``at`` of a line is quoted: part of a sample, say."""
    before = text[:at]
    return bool(before) and not _BEFORE.search(before)
