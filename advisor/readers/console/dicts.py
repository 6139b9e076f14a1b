"""Dictionaries printed as text, as Hugging Face's trainers print their metrics.

A layout that a log repeats becomes a template: a regular expression is faster than parsing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from advisor.readers.console.rows import NAN, Block

LEARN = 200  # templates compiled for one file: each costs a millisecond
KEPT = 8  # templates tried before a line is parsed key by key
WHOLE = 10_000  # characters from which matching a whole chunk at once pays off

_NUMBER = r"[-+]?(?:(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?|nan|inf|NaN|Infinity)"
_ITEM = re.compile(
    rf"""["'“”‘’`]([^"'“”‘’`{{}}]{{1,120}})["'“”‘’`]\s*:\s*
    (?:(?:(?:tensor|array|Array|[\w.]*float\d*)[(\[]+\s*|\[\s*)?
        ["'“”‘’`]?({_NUMBER})["'“”‘’`]?(?:\s*,\s*\w+=[^,)]*)*\s*[)\]]*(?=\s*(?:[,}}\n]|$))
      |["'“”‘’`]([^"'“”‘’`]*)["'“”‘’`])""",
    re.VERBOSE,
)
_START = re.compile(r"\{\s*[\"'“‘`][\w/.() -]{1,120}[\"'”’`]\s*:")

STEP_KEYS = (
    "global_step", "train/global_step", "trainer/global_step", "num_updates", "valid_num_updates",
    "train_num_updates", "step", "current_steps", "iteration", "iter", "global_step/max_steps",
    "steps", "train_step", "_step",
)  # fmt: skip
_TELLTALE = re.compile(r"loss|grad_norm|learning_rate|reward|^train_runtime$|^eval_|accuracy|^lr$")


def find_dict(text: str) -> tuple[int, int] | None:
    """Return begin and end of a printed dictionary in a line; None without one."""
    if "{" not in text:
        return None
    match = _START.search(text)
    if match is None:
        return None
    end = text.find("}", match.start())
    return match.start(), len(text) if end < 0 else end + 1


def parse_dict(text: str) -> tuple[dict[str, float], dict[str, str]] | None:
    """Return the numbers and texts of a printed dictionary; None where it holds no metric."""
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    for key, number, word in _ITEM.findall(text):
        if number:
            numbers[key] = float(number)
        else:
            texts[key] = word
    if not any(_TELLTALE.search(key) for key in numbers):
        return None
    return numbers, texts


def find_step(numbers: Mapping[str, float], texts: Mapping[str, str]) -> tuple[float, float]:
    """Return the step and the last step that a dictionary states; NaN where it does not."""
    for key in STEP_KEYS:
        if key in numbers:
            return numbers[key], float("nan")
        ratio = re.fullmatch(r"\s*(\d{1,15})\s*/\s*(\d{1,15})\s*", texts.get(key, ""))
        if ratio:
            return float(ratio[1]), float(ratio[2])
    return float("nan"), float("nan")


def _template_of(text: str, keys: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return a pattern that captures the numbers of lines like this one, in order of the keys."""
    pieces = [r"\s*"]
    at = 0
    for match in _ITEM.finditer(text):
        if not match.group(2):
            return None
        begin, end = match.span(2)
        pieces.append(re.escape(text[at:begin].lstrip() if at == 0 else text[at:begin]))
        pieces.append(rf"({_NUMBER})")
        at = end
    if len(pieces) // 2 != len(keys) or len(keys) > 90:
        return None
    return re.compile("".join(pieces) + re.escape(text[at:].rstrip()) + r"\s*")


@dataclass(slots=True)
class _Template:
    pattern: re.Pattern[str]
    bulk: re.Pattern[str]  # the same, to find whole lines in a chunk
    block: Block
    epoch_at: int | None  # position of the epoch among the numbers


@dataclass(slots=True)
class Templates:
    """The most recent layouts; a line that matches one is added to its block of rows."""

    _known: list[_Template] = field(default_factory=list)
    _learned: int = 0

    def learn(self, text: str, keys: tuple[str, ...], block: Block) -> None:
        """Add a template for lines like a dictionary that was parsed into ``block``."""
        if self._learned >= LEARN:
            return
        self._learned += 1
        pattern = _template_of(text, keys)
        if pattern is not None:
            at = keys.index("epoch") if "epoch" in keys else None
            new = _Template(pattern, _bulk(pattern), block, at)
            self._known = [new, *self._known][:KEPT]

    def take(self, number: int, raw: str, bar: tuple[float, float]) -> bool:
        """Add a line that matches a template to its block; return whether one did."""
        for known in self._known:
            match = known.pattern.fullmatch(raw)
            if match:
                values = list(map(float, match.groups()))
                epoch = NAN if known.epoch_at is None else values[known.epoch_at]
                known.block.places.extend((number, NAN, NAN, epoch, *bar))
                known.block.flat.extend(values)
                return True
        return False

    def take_all(self, number: int, text: str, bar: tuple[float, float]) -> bool:
        """Add a chunk whose lines all match the newest template; return whether they did."""
        if not self._known or text[:1] != "{" or len(text) < WHOLE:
            return False
        known = self._known[0]
        rows = known.bulk.findall(text)
        if not rows or len(rows) != text.count("\n"):
            return False
        values = np.array([float(word) for row in rows for word in row])
        table = values.reshape(len(rows), -1)
        places = np.full((len(rows), 6), NAN)
        places[:, 0] = np.arange(number, number + len(rows))
        if known.epoch_at is not None:
            places[:, 3] = table[:, known.epoch_at]
        places[:, 4:] = bar
        known.block.flat.frombytes(values.tobytes())
        known.block.places.frombytes(places.tobytes())
        return True


def _bulk(pattern: re.Pattern[str]) -> re.Pattern[str]:
    body = pattern.pattern.removeprefix(r"\s*").removesuffix(r"\s*")
    return re.compile(rf"^{body}\n", re.MULTILINE)
