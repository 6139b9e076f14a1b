"""Events of a run: counts by what they say, and how a resume changed the loss."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from advisor.base.median import median
from advisor.findings import Evidence, Reading
from advisor.run import Event
from advisor.signals.base import Signal, missing, need
from advisor.signals.curves import Curve, View

LATE = 5  # logged points before a run ran out of memory, or after it
# Layers that a task adds start at random on purpose, and buffers are recomputed.
_ADDED = re.compile(
    r"\b(?:score|\w*classifier|qa_outputs|pooler|v_head|value_head|reward\w*|\w*projector|"
    r"decode_head|\w*regressor|cross_?attention|\w*bbox\w*|\w*predictor\w*|out_proj)\b|"
    r"masked_bias|attn\.bias|inv_freq|position_ids"
)
_SPEAKS = re.compile(r"ForCausalLM|LMHeadModel|ForConditionalGeneration")
_QUOTED = re.compile(r"'([\w.{}, -]+)'")
_NONE_TRAINED = r"(?<![-\w])trainable param\w*(?: ?[:=])? ?0(?![\d.,]*\d)|^\s*0\s+trainable param"
_TRAINED = 4.0  # a first loss below it means a language model with all its weights loaded


def _reading(hits: Sequence[Event]) -> Reading:
    if not hits:
        return Reading(0.0)
    steps = [e.step for e in hits if e.step is not None]
    evidence = tuple(Evidence("event", e.step, None, None, e.text[:300]) for e in hits[:3])
    first, last = (min(steps), max(steps)) if steps else (None, None)
    return Reading(float(len(hits)), "", first, last, evidence)


def _events(kinds: str, doc: str, pattern: str = "", but: str = "") -> Signal:
    """Return a Signal that counts Events of some kinds whose text matches ``pattern`` and not
    ``but``."""
    wanted, left_out = re.compile(pattern, re.IGNORECASE), re.compile(but or r"(?!)", re.IGNORECASE)
    known = kinds.split()

    def function(view: View) -> Reading:
        return _reading(
            [
                e
                for e in view.run.events
                if e.kind in known and wanted.search(e.text) and not left_out.search(e.text)
            ]
        )

    return Signal("times", doc, function)


def new_weights(view: View) -> Reading:
    """Warnings that the model's own weights were initialised at random, unless the first losses are
    those of a trained language model."""
    said = [e for e in view.run.events if e.kind == "warning" and "newly initialized" in e.text]
    knows = len(view.loss) >= 3 and median(view.loss.y[:3]) < _TRAINED
    return _reading([e for e in said if _is_own(e.text) and not (knows and _SPEAKS.search(e.text))])


def _is_own(text: str) -> bool:
    """Return whether a warning names weights that the checkpoint should have held."""
    names = _QUOTED.findall(text.split("newly initialized", 1)[1])
    if not names:
        return bool(_SPEAKS.search(text))
    if "ForCausalLM" not in text:  # otherwise tied to the embeddings, or new to the task
        names = [name for name in names if not name.startswith("lm_head")]
    return any(not _ADDED.search(name) for name in names)


def _find_oom(view: View) -> list[Event]:
    """Return the events where memory ran out for good: a run that goes on has recovered or was
    resumed."""
    steps = view.loss.steps
    return [
        e for e in view.run.events
        if e.kind == "oom"
        and (e.final or e.step is None or int((steps > e.step).sum()) < LATE)
    ]  # fmt: skip


def _oom(pattern: str) -> Callable[[View], Reading]:
    wanted = re.compile(pattern, re.IGNORECASE)
    return lambda view: _reading([e for e in _find_oom(view) if wanted.search(e.text)])


def oom_late(view: View) -> Reading:
    """1 where memory ran out after steps that had fit: only a longer batch explains that."""
    events = _find_oom(view)
    if not events:
        return missing("no out of memory is reported")
    if not len(view.loss):
        return missing("no train/loss in the log")
    steps = [e.step for e in events if e.step is not None]
    before = int(np.searchsorted(view.loss.steps, min(steps))) if steps else len(view.loss)
    return Reading(float(before >= LATE))


def resumed(view: View) -> Reading:
    return _reading([e for e in view.run.events if e.kind == "resume"])


def _resume(view: View) -> tuple[Reading, float]:
    """Return the largest change of level at a resume in noises of one point, and its sign."""
    curve = view.loss
    events = [e.step for e in view.run.events if e.kind == "resume" and e.step is not None]
    if not events:
        return missing("the run was not resumed"), 0.0
    if why := need(curve, 3):
        return missing(why), 0.0
    worst, where = 0.0, -1
    for step in events:
        # the step of a resume is the last one before it or the first one after it
        for side in ("left", "right"):
            i = int(np.searchsorted(curve.steps, step, side=side))
            jump = _change(curve, i)
            if jump is not None and (where < 0 or abs(jump) > abs(worst)):
                worst, where = jump, i
    if where < 0:
        return missing("too few losses beside the resume"), 0.0
    evidence = (
        Evidence(curve.name, curve.at(where - 1), float(curve.y[where - 1]), None, "before"),
        Evidence(curve.name, curve.at(where), float(curve.y[where]), None, "after the resume"),
    )
    first, last = curve.at(where - 1), curve.at(where)
    return Reading(abs(worst), "", first, last, evidence), worst


def _change(curve: Curve, i: int) -> float | None:
    """Return the change of level at index ``i`` in noises; None with too few points.

    Two losses before and one after are enough for a change that is many times larger.
    """
    k = max(3, min(10, len(curve) // 10))
    before, after = curve.y[max(0, i - k) : i], curve.y[i : i + k]
    if before.size < 2 or not after.size:
        return None
    level = median(before)
    least = 0.02 if min(before.size, after.size) >= 3 and len(curve) >= 20 else 0.1
    noise = curve.spread if len(curve) >= 20 else median(np.abs(np.diff(before)))
    return (median(after) - level) / max(noise, least * abs(level), 1e-12)


def resume_jump(view: View) -> Reading:
    """Loss right after a resume against the level just before it, in noises of one point."""
    return _resume(view)[0]


def resume_up(view: View) -> Reading:
    """1 where the loss rose at the resume. A loss that falls there has met known samples again."""
    reading, change = _resume(view)
    return reading if reading.value is None else Reading(float(change > 0))


SIGNALS = {
    "run.resumed": Signal("times", "resumes of the run", resumed),
    "run.resume_jump": Signal("noise", "largest change of the loss level at a resume", resume_jump),
    "run.resume_up": Signal("0 or 1", "the loss went up at a resume", resume_up),
    "event.oom": Signal("times", "out-of-memory errors", _oom("")),
    "event.oom_eval": Signal(
        "times", "out-of-memory errors during evaluation", _oom(r"eval|predict")
    ),
    "event.oom_late": Signal("0 or 1", "memory ran out after steps that had fit", oom_late),
    "event.exception": _events("exception", "exceptions in the log"),
    "event.nan": _events(
        "exception", "the run stopped on NaN", r"\bnan\b|non-?finite|(?:not|no) finite"
    ),
    "event.overflow": _events("overflow_skip", "steps skipped because of an overflow"),
    "event.scale_floor": _events(
        "overflow_skip exception warning",
        "the loss scale fell to 1 or to its minimum",
        r"scale already at minimum|scale:? \S+, reducing to (?:1|0\.\d+)(?:\.0)?\b(?!\.)|"
        r"(?:loss|minimum) scale .{0,30}\bminimum|scale is too small",
    ),
    "event.masked": _events(
        "warning",
        "warnings that labels are masked",
        r"\bmasked\b|-100|no valid label|all labels|no supervised",
        but=r"newly initialized|dropp|filter|remov|skipp|ignor",
    ),
    "event.no_template": _events(
        "warning",
        "warnings that a sample lacks the template before its answer",
        r"(?:response|instruction) (?:key|template)|tokenization mismatch",
    ),
    "event.no_grad": _events(
        "warning", "warnings that inputs carry no gradients", r"inputs have requires_grad"
    ),
    "event.no_graph": _events(
        "warning exception",
        "errors that the loss depends on no trained weight",
        r"does not require grad",
    ),
    "event.nothing_trained": _events(
        "warning", "the log says that no weight is trained", _NONE_TRAINED
    ),
    "event.new_weights": Signal(
        "times", "warnings that weights were randomly initialised", new_weights
    ),
    "event.truncated": _events(
        "warning",
        "warnings that samples are truncated",
        r"truncat|max(?:imum)?_?(?:seq(?:uence)?)?_?length|(?:were|was|is|are) cut (?:to|off)",
        but=r"Token indices sequence length",
    ),
    "event.no_end": _events(
        "warning",
        "warnings that samples have no end-of-text token",
        r"(?:without|lack\w*|(?:not|n't) (?:end|have|contain|append)\w*|no|missing) "
        r"(?:\w+ ){0,4}?(?:eos|eos_token|end-of-text)\b|"
        r"(?:eos|end-of-text)(?:[ _]token)? (?:\S+ ){0,3}?(?:(?:was|is|are) )?"
        r"(?:not (?:found|appended|added|in)|missing|never)\b",
        but=r"\bbos\b",
    ),
    "event.double_bos": _events(
        "warning",
        "warnings that samples begin with two beginning-of-text tokens",
        r"double bos|(?:two|2) bos tokens|begin-of-text tokens twice|also starts with a BOS",
        but=r"remov",
    ),
    "event.attention": _events(
        "warning",
        "warnings that the attention implementation does not suit the model",
        r"with the `?eager`? attention|attention.{0,60}(?:not support|unexpected results)",
    ),
    "event.leak": _events(
        "warning",
        "warnings that validation samples are also trained on",
        r"validation (?:samples|examples|rows|data|set).{0,40}"
        r"(?:also trained on|in the training (?:set|data)|overlap)|"
        r"(?:overlap|leak\w*) (?:between|of|from|with|into) .{0,40}\bvalidation",
    ),
    "event.duplicates": _events(
        "warning",
        "warnings that training samples repeat",
        r"duplicate[ds]?\b.{0,40}(?:sample|row|example)|(?:sample|row|example)s?\b.{0,40}duplicate",
        but=r"remov|dropp",
    ),
}
