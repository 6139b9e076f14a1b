"""The words of console lines: what means step, epoch or metric, and the layouts of line heads.

A layout or a name that a trainer prints is one entry in one of these tables.
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
# The run's own count, where another word of the line may count within the epoch.
OWN_COUNT = {"global_step", "num_updates", "optimizer_step", "valid_num_updates"}
EPOCHS = {"epoch", "ep", "ep.", "epochs", "train_epoch", "training_epoch", "轮", "轮次"}
_CHINESE = {
    "训练损失": "train_loss", "验证损失": "val_loss", "测试损失": "test_loss", "损失": "loss",
    "学习率": "lr", "准确率": "accuracy", "训练准确率": "train_accuracy",
    "验证准确率": "val_accuracy", "时间": "time",
}  # fmt: skip
NEVER = {"eta", "patience", "line", "rank", "pid", "port", "seed", "total", "gpu", "epochs"}
QUALIFIERS = {"batch", "average", "avg", "mean", "lm", "running", "current", "smoothed", "ce"}
# Measures beside names.py's that make a line worth reading.
_ALSO = {
    "ppl", "perplexity", "mfu", "time", "dt", "tokens", "tflops", "val_ppl", "train_ppl",
}  # fmt: skip
_ASIDE = {"time", "dt", "tokens", "mem", "memory"}  # said of anything, not only of training
_HINT = (
    r"loss|损失|epoch|\bep\b|iter|step|perplex|\bppl|grad|\bacc|batch|轮|\blr\b|learning.rate"
    r"|cross.?entropy|\bxent|\bcost\b"
)
# Lines put in other words before they are searched: what they hold, the pattern, its stead.
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
# A step without a name before a metric: 40 | loss 6.68, [40/900] loss: 6.68
LEAD = re.compile(
    r"^\s*[\[(#]?\s*(\d{1,9})(?:\s*/\s*(\d{1,9}))?"
    r"(?:\s*[\])]?\s*[|:,;\t]\s*(?=[^\W\d])|\s*[\])\t]\s*(?=[^\W\d])|"
    r"\s+(?=(?:train\w*[ _])?loss\b))",
    re.IGNORECASE,
)
# Heads of lines whose numbers no 'key number' pair tells: the first that matches is taken.
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
    """Which words count: the tables here, and the columns a user names with --map."""

    hint: re.Pattern[str]
    wanted: frozenset[str] = frozenset()

    def knows(self, name: str) -> bool:
        return name in _ALSO or name in self.wanted or names.is_known(name)

    def is_metric(self, name: str, placed: bool) -> bool:
        """Say whether a line with this name reports how training goes."""
        if name in self.wanted or name.rsplit("/", 1)[-1].endswith("loss"):
            return True
        if names.canonical(name) in ("train/loss", "eval/loss", "test/loss"):
            return placed
        return placed and name not in _ASIDE and self.knows(name)


def words_for(mapped: Iterable[str]) -> LineWords:
    """Return the words for a log of which a user named some columns."""
    extra = [re.escape(name) for name in mapped]
    wanted = frozenset(name for native in mapped for name in (native, fold(native)))
    return LineWords(re.compile("|".join([_HINT, *extra]), re.IGNORECASE), wanted)


def fold(key: str) -> str:
    """Return the key in lower case, with underscores, without its unit."""
    words = key.strip().lower()
    if words in _CHINESE:
        return _CHINESE[words]
    unit = re.search(r"\s?\((ms|s|gib|gb|%)\)$", words)
    name = re.sub(r"[\s-]+", "_", words[: unit.start()] if unit else words)
    return name.replace("tokens/sec", "tokens_per_sec")


DEFAULT = words_for(())
