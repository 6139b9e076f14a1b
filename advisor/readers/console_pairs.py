"""Lines of 'key number' pairs: 'step 20 | loss 1.23', 'iter 100: loss 3.2, time 20ms', ..."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NAN = float("nan")
STEP, TOTAL, EPOCH = "<step>", "<total>", "<epoch>"

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
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
HINT = re.compile(
    r"loss|损失|epoch|\bep\b|iter|step|perplex|\bppl|grad|\bacc|batch|轮|\blr\b", re.IGNORECASE
)
_STAMP = re.compile(
    r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
)
_LEVEL = re.compile(
    r"^[\s|\-:]*(?:[\w.]+\s+-\s+)?\[?(?:INFO|DEBUG|WARNING|ERROR)\b\]?[\s:|\-]*"
    r"(?:[\w.]+:[\w<>]+:\d+|root|__main__)?[\s:|\-]*"
)
_BAR = re.compile(
    r"(?P<label>[^|\r\n]{0,200}?)\b(?:\d{1,3})%\|[^|]{0,400}\|\s*(?P<at>\d+)/(?P<end>\d+)\s*"
    r"\[(?P<speed>[^\]]{0,400})\]?"
)
_KERAS = re.compile(r"^\s*(\d+)/(\d+)\s(?:\[[=>.\s]*\]|[━╸╺─ ]{3,})")
_SAMPLES = re.compile(
    r"\[\s*(\d+)/(\d+)\s*\(\s*\d+(?:\.\d+)?%\)\s*\]|\|\s*(\d+)/\s*(\d+) batches\b"
)
_DUMP = re.compile(r"\b(?:Namespace|\w*Arguments|\w*Config|dict)\(")
HELD_OUT = re.compile(
    r"^[\s\[(*#>=-]*(val|valid|validation|validating|eval|evaluation|evaluating|test|dev)\b(?!\w)",
    re.IGNORECASE,
)
_SET = re.compile(r"\bname\s*[:=]?\s*[\"'“](\w[\w./-]{0,60})[\"'”]")

_STEPS = {
    "step", "steps", "global_step", "iter", "iters", "iteration", "it", "batch", "update",
    "train_step", "training_step", "optimizer_step", "num_updates", "步",
}  # fmt: skip
_EPOCHS = {"epoch", "ep", "epochs", "train_epoch", "training_epoch", "轮", "轮次"}
_CHINESE = {
    "训练损失": "train_loss", "验证损失": "val_loss", "测试损失": "test_loss", "损失": "loss",
    "学习率": "lr", "准确率": "accuracy", "训练准确率": "train_accuracy",
    "验证准确率": "val_accuracy", "时间": "time",
}  # fmt: skip
_JOINED = re.compile(r"^(train|val|valid|test|eval)(loss|acc|accuracy|ppl)$")
_NEVER = {"eta", "patience", "line", "rank", "pid", "port", "seed", "total", "gpu", "epochs"}
_QUALIFIERS = {"batch", "average", "avg", "mean", "lm", "running", "current", "smoothed", "ce"}
_PLAIN = {
    "loss", "lr", "learning_rate", "grad_norm", "gnorm", "acc", "accuracy", "ppl", "perplexity",
    "train_loss", "val_loss", "valid_loss", "validation_loss", "test_loss", "eval_loss",
    "training_loss", "train_acc", "val_acc", "test_acc", "train_accuracy", "val_accuracy",
    "test_accuracy", "mem", "memory", "tps", "mfu", "time", "dt", "num_label_tokens", "tokens",
    "loss_scale", "tflops",
    "tokens_per_sec", "tok/s", "val_ppl", "train_ppl", "dev_loss", "lm_loss", "nll_loss",
}  # fmt: skip
_SCALE = {"k": 1e3, "m": 1e6, "%": 0.01, "ms": 1e-3, "us": 1e-6}
_TO_GIB = {"g": 1.0, "m": 2**-10, "k": 2**-20, "t": 2**10}


@dataclass(slots=True)
class Found:
    """What one line states."""

    values: dict[str, float] = field(default_factory=dict)
    step: float = NAN
    total: float = NAN
    epoch: float = NAN
    epochs: float = NAN
    split: str = ""
    kind: str = "pairs"
    bar: tuple[float, float] | None = None
    heads: bool = False  # the epoch opens the line
    # where each number stands: begin, end, what it is, and its factor
    spans: list[tuple[int, int, str, float]] = field(default_factory=list)


def find_bar(text: str) -> re.Match[str] | None:
    """The last progress bar in a line."""
    if "%|" not in text:
        return None
    found = None
    for found in _BAR.finditer(text):
        pass
    return found


def without_bar(text: str, bar: re.Match[str]) -> str:
    """The line without the bar; what follows the speed inside its brackets stays."""
    extra = bar["speed"].split(",", 2)
    tail = extra[2] if len(extra) > 2 else ""
    return f"{text[: bar.start()]}{bar['label']} | {tail} | {text[bar.end() :]}"


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _name(key: str) -> str:
    words = key.strip().lower()
    for chinese, plain in _CHINESE.items():
        if words == chinese:
            return plain
    unit = re.search(r"\s?\((ms|s|gib|gb|%)\)$", words)
    name = re.sub(r"[\s-]+", "_", words[: unit.start()] if unit else words)
    name = name.replace("tokens/sec", "tokens_per_sec")
    return _JOINED.sub(r"\1_\2", name)


def _resolve(key: str, spaced: bool) -> str:
    """The key's name; of a sentence before a bare number only the known words at its end."""
    words = key.split()
    whole = "per" in words  # a time per iteration is no iteration
    for begin in range(1 if whole else len(words)):
        name = _name(" ".join(words[begin:]))
        if name in _STEPS or name in _EPOCHS or name in _PLAIN:
            return name
    if spaced or key.count("/") > 1 or ".py" in key:
        return ""
    if words and words[-1].lower() == "loss":
        kept = [word for word in words[-2:] if word.lower() not in _QUALIFIERS]
        return _name(" ".join(kept))
    name = _name(key)
    if name == "elapsed_time_per_iteration":
        return "step_time"
    return "" if name in _NEVER else name


def _factor(name: str, unit: str) -> float:
    unit = unit.strip().lower()
    if not unit or (unit == "%" and "acc" not in name):
        return 1.0
    if unit[-1] == "b":
        return _TO_GIB[unit[0]]
    return _SCALE.get(unit, 1.0)


def without_prefix(text: str) -> str:
    """The line without time stamp and level."""
    return _LEVEL.sub("", _STAMP.sub("", text), count=1)


def parse_pairs(text: str) -> Found | None:
    """The pairs of one cleaned line; None where nothing in it could be a metric or a step."""
    if not HINT.search(text) or _DUMP.search(text):
        return None
    found = Found()
    bar = find_bar(text)
    if bar is not None:
        found.bar = (float(bar["at"]), float(bar["end"]))
        text = without_bar(text, bar)
    text = without_prefix(text)
    progress = _KERAS.match(text)
    if progress:
        found.kind = "progress"
        found.bar = (float(progress[1]), float(progress[2]))
        text = text[progress.end() :]
    samples = _SAMPLES.search(text)
    if samples:
        at, end = samples[1] or samples[3], samples[2] or samples[4]
        found.step, found.total = float(at), float(end)
    _collect(text, found)
    if progress or samples or bar:
        found.spans.clear()
    held_out = HELD_OUT.match(text)
    if held_out:
        chosen = _SET.search(text)
        name = chosen[1] if chosen else "default"
        found.split = "eval" if name == "default" else f"eval/{name}"
    return found if found.values or found.step == found.step or found.epoch == found.epoch else None


def _collect(text: str, found: Found) -> None:
    stated = ""
    for match in _PAIR.finditer(text):
        key, separator, number, total, unit = match.groups()
        name = _resolve(key, not separator.strip(" \t"))
        if name in _EPOCHS:
            if found.epoch != found.epoch:
                found.epoch = _number(number)
                found.heads = match.start() < 24
                found.spans.append((*match.span(3), EPOCH, 1.0))
                found.epochs = float(total) if total else NAN
        elif name in _STEPS:
            # 'global_step' is the run's own count where 'batch' or 'step' may be the epoch's
            if found.step != found.step or (name == "global_step" and stated != name):
                found.step, stated = _number(number), name
                found.spans = [one for one in found.spans if one[2] not in (STEP, TOTAL)]
                found.spans.append((*match.span(3), STEP, 1.0))
                found.total = float(total) if total and name != "global_step" else NAN
                if found.total == found.total:
                    found.spans.append((*match.span(4), TOTAL, 1.0))
        elif name and name not in found.values and (unit or "").strip() != "m":  # '6m 52s'
            # 'Accuracy: 9845/10000' is a share
            share = 1.0 / float(total) if total and "acc" in name and float(total) > 0 else 1.0
            factor = share * _factor(name, "ms" if key.endswith("(ms)") else unit or "")
            found.values[name] = _number(number) * factor
            found.spans.append((*match.span(3), name, factor))


def is_metric(found: Found) -> bool:
    """Whether the line reports how training goes: a loss, or a known metric at a step."""
    names = found.values.keys()
    if any(name.rsplit("/", 1)[-1].endswith("loss") for name in names):
        return True
    placed = found.step == found.step or found.epoch == found.epoch
    known = _PLAIN - {"time", "dt", "tokens", "mem", "memory"}
    return placed and any(name in known for name in names)


def is_known(found: Found) -> bool:
    """Whether a line without step or loss may add to the epoch it stands in."""
    return any(name in _PLAIN for name in found.values)
