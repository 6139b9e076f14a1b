"""Dictionaries printed as text, as Hugging Face's trainers print their metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    """Begin and end of a printed dictionary of metrics in a line."""
    if "{" not in text:
        return None
    match = _START.search(text)
    if match is None:
        return None
    end = text.find("}", match.start())
    return match.start(), len(text) if end < 0 else end + 1


def parse_dict(text: str) -> tuple[dict[str, float], dict[str, str]] | None:
    """Return numbers and texts of a printed dictionary; None where nothing in it is a metric."""
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
    """Step and last step that a dictionary states; NaN where it does not."""
    for key in STEP_KEYS:
        if key in numbers:
            return numbers[key], float("nan")
        ratio = re.fullmatch(r"\s*(\d{1,15})\s*/\s*(\d{1,15})\s*", texts.get(key, ""))
        if ratio:
            return float(ratio[1]), float(ratio[2])
    return float("nan"), float("nan")


def template(text: str, keys: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return a pattern that takes the numbers of lines like this one, in order of the keys."""
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
