"""The wording of console lines: words for step, epoch and metrics, and layouts of line heads.

To support another trainer's layout or name, add an entry to one of these tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from advisor.readers import names

STEPS = {
    "step", "steps", "global_step", "iter", "iters", "iteration", "it", "batch", "update",
    "train_step", "training_step", "optimizer_step", "num_updates", "up.", "步",
    "valid_num_updates", "step_num", "iter_num",
}  # fmt: skip
# Steps of the whole run; another word of the same line may count within the epoch.
OWN_COUNT = {"global_step", "num_updates", "optimizer_step", "valid_num_updates"}
EPOCHS = {"epoch", "ep", "ep.", "epochs", "train_epoch", "training_epoch", "轮", "轮次"}
_CHINESE = {
    "训练损失": "train_loss", "验证损失": "val_loss", "测试损失": "test_loss", "损失": "loss",
    "学习率": "lr", "准确率": "accuracy", "训练准确率": "train_accuracy",
    "验证准确率": "val_accuracy", "时间": "time",
}  # fmt: skip
# Words before a number that are never metrics.
NEVER = {"eta", "patience", "line", "rank", "pid", "port", "seed", "total", "gpu", "epochs"}
# Words before 'loss' that do not make it another metric.
QUALIFIERS = {"batch", "average", "avg", "mean", "lm", "running", "current", "smoothed", "ce"}
# Metrics that are not in names.py and make a line worth reading.
_ALSO = {
    "ppl", "perplexity", "mfu", "time", "dt", "tokens", "tflops", "val_ppl", "train_ppl",
}  # fmt: skip
_ASIDE = {"time", "dt", "tokens", "mem", "memory"}  # not only training reports these
# A cheap filter: lines without any of these hold no pairs.
_HINT = (
    r"loss|损失|epoch|\bep\b|iter|step|perplex|\bppl|grad|\bacc|batch|轮|\blr\b|learning.rate"
    r"|cross.?entropy|\bxent|\bcost\b"
)
# Rewrites before a line is searched: a text that the line must hold, pattern, replacement.
REWRITES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("loss train", re.compile(r"(\bloss train\s*[:=]\s*\S+?,?\s+)val(?=\s*[:=])"), r"\1val loss"),
    ("lm loss value", re.compile(r"\blm loss value(?=\s*:)"), "lm loss"),  # Megatron
    ("validation loss at", re.compile(r"\bvalidation loss at iteration (\d+)"), r"[val] step \1"),
    ("opt_callback:", re.compile(r"\b(?:train_)?opt_callback:\s*"), ""),  # llama.cpp
)
# A tag of the epoch before the step: [E2] step 0, (epoch 3/10) it 20, ep-1 | E2 step 5
TAG = re.compile(
    r"^\s*(?:[\[(<{]\s*(?:e|ep|epoch)[-_:#. ]*(\d{1,6})(?:/(\d{1,6}))?\s*[\])>}]|"
    r"(?:ep|epoch)[-_#.](\d{1,6})(?=[\s|,:])|"
    r"e(\d{1,6})(?=[\s|,:]+(?:step|it|iter|iteration|batch)\b))[:,|\s-]*",
    re.IGNORECASE,
)
# An unnamed step before a metric: 40 | loss 6.68, [40/900] loss: 6.68
LEAD = re.compile(
    r"^\s*[\[(#]?\s*(\d{1,9})(?:\s*/\s*(\d{1,9}))?"
    r"(?:\s*[\])]?\s*[|:,;\t]\s*(?=[^\W\d])|\s*[\])\t]\s*(?=[^\W\d])|"
    r"\s+(?=(?:train\w*[ _])?loss\b))",
    re.IGNORECASE,
)
# Heads of lines that state step and epoch without 'key number' pairs; the first match is used.
HEADS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # mmengine: Epoch(train)  [1][ 10/40]      Iter(train) [ 10/120]
        r"\bEpoch\((?P<split>\w+)\)\s*\[(?P<epoch>\d+)\]\s*\[\s*(?P<step>\d+)/\s*(?P<total>\d+)\]",
        r"\bIter\((?P<split>\w+)\)\s*\[\s*(?P<step>\d+)/\s*(?P<total>\d+)\]",
        # torchvision: Epoch: [0][  10/5005]       Epoch: [0]  [  10/5005]
        r"\bEpoch:?\s*\[(?P<epoch>\d+)(?:/(?P<epochs>\d+))?\]:?,?\s*"
        r"\[\s*(?P<step>\d+)\s*/\s*(?P<total>\d+)\]",
        # DCGAN: [0/5][10/40]
        r"^\s*\[(?P<epoch>\d+)/(?P<epochs>\d+)\]\s*\[(?P<step>\d+)/(?P<total>\d+)\]",
        # fairseq: epoch 001:   10 / 120 loss=
        r"\bepoch (?P<epoch>\d+):\s+(?P<step>\d+) / (?P<total>\d+)\s",
        # timm: Train: 0 [  10/40 ( 25%)]
        r"^\s*Train: (?P<epoch>\d+) \[\s*(?P<step>\d+)/\s*(?P<total>\d+)\b",
    )
)


@dataclass(frozen=True, slots=True)
class LineWords:
    """The words that count in one log: the tables here, and the columns that --map names."""

    hint: re.Pattern[str]  # a line without it holds no pairs
    wanted: frozenset[str] = frozenset()  # from --map, as written and folded

    def is_known(self, name: str) -> bool:
        """Return whether a folded name is a known metric or named by the user."""
        return name in _ALSO or name in self.wanted or names.is_known(name)

    def is_metric(self, name: str, placed: bool) -> bool:
        """Return whether a line with this name reports training progress.

        ``placed``: the line states a step or an epoch.
        """
        if name in self.wanted or name.rsplit("/", 1)[-1].endswith("loss"):
            return True
        if names.canonical(name) in ("train/loss", "eval/loss", "test/loss"):
            return placed
        return placed and name not in _ASIDE and self.is_known(name)


def words_for(mapped: Iterable[str]) -> LineWords:
    """Return the words for a log whose columns ``mapped`` a user named with --map."""
    extra = [re.escape(name) for name in mapped]
    wanted = frozenset(name for native in mapped for name in (native, fold(native)))
    return LineWords(re.compile("|".join([_HINT, *extra]), re.IGNORECASE), wanted)


def fold(key: str) -> str:
    """Return a key in lower case, with underscores for blanks and dashes, without its unit."""
    words = key.strip().lower()
    if words in _CHINESE:
        return _CHINESE[words]
    unit = re.search(r"\s?\((ms|s|gib|gb|%)\)$", words)
    name = re.sub(r"[\s-]+", "_", words[: unit.start()] if unit else words)
    return name.replace("tokens/sec", "tokens_per_sec")


DEFAULT = words_for(())
