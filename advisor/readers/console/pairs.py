"""Parsing lines of 'key number' pairs: 'step 20 | loss 1.23', 'iter 100: loss 3.2, time 20ms'."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from advisor.readers.console.words import (
    DEFAULT,
    EPOCHS,
    HEADS,
    LEAD,
    NEVER,
    OWN_COUNT,
    QUALIFIERS,
    REWRITES,
    STEPS,
    TAG,
    LineWords,
    fold,
)

NAN = float("nan")
STEP, TOTAL, EPOCH = "<step>", "<total>", "<epoch>"  # roles of numbers that are no metrics

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?"
    r"|[-+]?(?:nan|inf|infinity)(?![\w-])"
)
_WORD = r"[^\W\d][\w/.@\-]*"
_PAIR = re.compile(
    rf"(?<![\w/.@\-])({_WORD}(?:\x20{_WORD}){{0,5}}(?:\x20?\([\w/%]{{1,12}}\))?)[\"'”’]?"
    rf"(\s*[:=]\s*(?:tensor\()?[\[\"'“‘]?\s*|\s*\[\s*|\s+)({_NUMBER})"
    rf"(?:\s*(?:/|of)\s*(\d{{1,15}}))?"
    rf"(\s?(?:ms|us|[GMKT]i?B|[KkM](?![\w/])|%|secs?|s)(?!\w))?(?![\w.]*\w)",
    re.IGNORECASE,
)
_STAMP = re.compile(
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
)
_LEVEL = re.compile(
    r"^[\s|\-:]*(?:[\w.]+\s+-\s+)?\[?(?:INFO|DEBUG|WARNING|ERROR)\b\]?[\s:|\-]*"
    r"(?:[\w.]+:[\w<>]+:\d+|root|__main__)?[\s:|\-]*"
)
_BAR = re.compile(r"\d{1,3}%\|[^|]{0,400}\|\s*(\d+)/(\d+)\s*\[([^\]]{0,400})\]?")
BARS = 30  # bars tried in a line
_KERAS = re.compile(r"^\s*(\d+)/(\d+)\s(?:\[[=>.\s]*\]|[━╸╺─ ]{3,})")
_SAMPLES = re.compile(
    r"\[\s*(\d+)/(\d+)\s*\(\s*\d+(?:\.\d+)?%\)\s*\]|\|\s*(\d+)/\s*(\d+) batches\b"
)
_DUMP = re.compile(r"\b(?:Namespace|\w*Arguments|\w*Config|dict)\(")
HELD_OUT = re.compile(
    r"^[\s\[(*#>=-]*(val|valid|validation|validating|eval|evaluation|evaluating|test|dev)\b(?!\w)",
    re.IGNORECASE,
)
HELD_CELL = re.compile(  # 'Epoch 3 | Validation | Loss: 1.2'
    r"\|\s*(?:val|valid|validation|eval|evaluation|test|dev)\s*\|", re.IGNORECASE
)
_SET = re.compile(r"\bname\s*[:=]?\s*[\"'“](\w[\w./-]{0,60})[\"'”]")

_SCALE = {"k": 1e3, "m": 1e6, "%": 0.01, "ms": 1e-3, "us": 1e-6}
_TO_GIB = {"g": 1.0, "m": 2**-10, "k": 2**-20, "t": 2**10}


@dataclass(slots=True)
class FoundPairs:
    """The content of one line; NaN for what it does not state."""

    values: dict[str, float] = field(default_factory=dict)
    step: float = NAN
    total: float = NAN  # the last step, as in 'step 20/900'
    epoch: float = NAN
    epochs: float = NAN  # the last epoch
    split: str = ""  # 'eval' or 'eval/<set>' where the line states it
    kind: str = "pairs"  # or 'progress' for a Keras bar
    bar: tuple[float, float] | None = None  # count and end of a progress bar
    heads: bool = False  # the epoch is at the beginning of the line
    rewritten: bool = False
    bare: bool = False  # the step is an unnamed number at the beginning of the line
    # of each number: begin and end in the line, its key or role, and the factor of its unit
    spans: list[tuple[int, int, str, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bar:
    """A tqdm progress bar in a line."""

    begin: int  # in the line, label included
    stop: int
    label: str
    at: float  # the count, of ``end``
    end: float
    inside: str  # the text in its brackets


def find_bar(text: str) -> Bar | None:
    """Return the last progress bar in a line."""
    mark = len(text)
    for _ in range(BARS):
        mark = text.rfind("%|", 0, mark)
        if mark < 0:
            return None
        begin = mark
        while begin > max(0, mark - 3) and text[begin - 1].isdecimal():
            begin -= 1
        match = _BAR.match(text, begin)
        if match:
            label = re.split(r"[|\r\n]", text[max(0, begin - 200) : begin])[-1]
            at, end = float(match[1][:18]), float(match[2][:18])
            return Bar(begin - len(label), match.end(), label, at, end, match[3])
    return None


def without_bar(text: str, bar: Bar) -> str:
    """Return the line without the bar, but with its label and what follows the speed in it."""
    extra = bar.inside.split(",", 2)
    tail = extra[2] if len(extra) > 2 else ""
    return f"{text[: bar.begin]}{bar.label} | {tail} | {text[bar.stop :]}"


def _number(text: str) -> float:
    return float(text.replace(",", ""))


@lru_cache(maxsize=4096)
def _resolve(key: str, spaced: bool, words: LineWords) -> str:
    """Return the folded name of a key, '' where it is none.

    ``spaced``: only blanks separate key and number, so the key may be the end of a sentence, and
    only known words at its end count.
    """
    parts = key.split()
    whole = "per" in parts  # 'time per iteration' is no iteration
    for begin in range(1 if whole else len(parts)):
        name = fold(" ".join(parts[begin:]))
        if name in STEPS or name in EPOCHS or words.is_known(name):
            return name
    if spaced or key.count("/") > 1 or ".py" in key:
        return ""
    if parts and parts[-1].lower() == "loss":
        kept = [word for word in parts[-2:] if word.lower() not in QUALIFIERS]
        return fold(" ".join(kept))
    name = fold(key)
    if name == "elapsed_time_per_iteration":
        return "step_time"
    return "" if name in NEVER else name


def _factor(name: str, unit: str) -> float:
    unit = unit.strip().lower()
    if not unit or (unit == "%" and "acc" not in name):
        return 1.0
    if unit[-1] == "b":
        return _TO_GIB[unit[0]]
    return _SCALE.get(unit, 1.0)


def without_prefix(text: str) -> str:
    """Return the line without time stamp and level."""
    return _LEVEL.sub("", _STAMP.sub("", text), count=1)


def parse_pairs(text: str, words: LineWords = DEFAULT) -> FoundPairs | None:
    """Return the pairs of one cleaned line; None without a metric, a step or an epoch."""
    if not words.hint.search(text) or _DUMP.search(text):
        return None
    found = FoundPairs()
    for needle, pattern, other in REWRITES:
        if needle in text:
            text, found.rewritten = pattern.sub(other, text), True
    bar = find_bar(text)
    if bar is not None:
        found.bar = (bar.at, bar.end)
        text = without_bar(text, bar)
    text = without_prefix(text)
    progress = _KERAS.match(text)
    if progress:
        found.kind = "progress"
        found.bar = (float(progress[1]), float(progress[2]))
        text = text[progress.end() :]
    text = _read_tag(text, found)
    text, headed = _read_head(text, found)
    samples = None if headed else _SAMPLES.search(text)
    if samples:
        at, end = samples[1] or samples[3], samples[2] or samples[4]
        found.step, found.total = float(at), float(end)
    _read_pairs(text, found, words)
    if progress or samples or bar or headed or found.rewritten:
        found.spans.clear()
    elif found.step != found.step and any(name.endswith("loss") for name in found.values):
        _read_lead(text, found)
    if HELD_OUT.match(text) or HELD_CELL.search(text):
        chosen = _SET.search(text)
        name = chosen[1] if chosen else "default"
        found.split = "eval" if name == "default" else f"eval/{name}"
    return found if found.values or found.step == found.step or found.epoch == found.epoch else None


def _read_tag(text: str, found: FoundPairs) -> str:
    """Read the epoch from a tag before the step; return the text with the tag blanked out."""
    tag = TAG.match(text)
    if tag is None:
        return text
    at = next(n for n in (1, 3, 4) if tag[n])
    found.epoch, found.heads = float(tag[at]), True
    found.epochs = float(tag[2]) if tag[2] else NAN
    found.spans.append((*tag.span(at), EPOCH, 1.0))
    return " " * tag.end() + text[tag.end() :]


def _read_lead(text: str, found: FoundPairs) -> None:
    """Read the step from a number that opens the line: '40 | loss 6.68', '[40/900] loss: 6.68'."""
    lead = LEAD.match(text)
    if lead is None:
        return
    found.step, found.bare = float(lead[1]), True
    found.spans.append((*lead.span(1), STEP, 1.0))
    if lead[2]:
        found.total = float(lead[2])
        found.spans.append((*lead.span(2), TOTAL, 1.0))


def _read_head(text: str, found: FoundPairs) -> tuple[str, bool]:
    """Read step and epoch from a known head; return the text without it, and whether it has one."""
    for pattern in HEADS:
        match = pattern.search(text) if "[" in text or "/" in text else None
        if match is None:
            continue
        said = match.groupdict()
        found.step, found.total = float(match["step"]), float(match["total"])
        if said.get("epoch"):
            found.epoch, found.heads = float(match["epoch"]), True
        if said.get("epochs"):
            found.epochs = float(match["epochs"])
        split = said.get("split") or ""
        return f"[{split}] {text[match.end() :]}" if HELD_OUT.match(split) else (
            text[: match.start()] + text[match.end() :]
        ), True
    return text, False


def _read_pairs(text: str, found: FoundPairs, words: LineWords) -> None:
    """Read the 'key number' pairs of a line."""
    stated = ""
    for match in _PAIR.finditer(text):
        key, separator, number, total, unit = match.groups()
        name = _resolve(key, not separator.strip(" \t"), words)
        if name in EPOCHS:
            if found.epoch != found.epoch:
                found.epoch = _number(number)
                found.heads = match.start() < 24
                found.spans.append((*match.span(3), EPOCH, 1.0))
                found.epochs = float(total) if total else NAN
        elif name in STEPS:
            if found.step != found.step or (name in OWN_COUNT and stated not in OWN_COUNT):
                found.step, stated = _number(number), name
                found.spans = [one for one in found.spans if one[2] not in (STEP, TOTAL)]
                found.spans.append((*match.span(3), STEP, 1.0))
                found.total = float(total) if total and name not in OWN_COUNT else NAN
                if found.total == found.total:
                    found.spans.append((*match.span(4), TOTAL, 1.0))
        elif name and name not in found.values and (unit or "").strip() != "m":  # '6m 52s'
            # 'Accuracy: 9845/10000' is a fraction
            share = 1.0 / float(total) if total and "acc" in name and float(total) > 0 else 1.0
            factor = share * _factor(name, "ms" if key.endswith("(ms)") else unit or "")
            found.values[name] = _number(number) * factor
            found.spans.append((*match.span(3), name, factor))


def is_metric(found: FoundPairs, words: LineWords = DEFAULT) -> bool:
    """Return whether the line reports training progress: a loss, or a known metric at a step."""
    placed = found.step == found.step or found.epoch == found.epoch
    return any(words.is_metric(name, placed) for name in found.values)


def is_known(found: FoundPairs, words: LineWords = DEFAULT) -> bool:
    """Return whether the line holds a known metric, which may belong to the current epoch."""
    return any(words.is_known(name) for name in found.values)
