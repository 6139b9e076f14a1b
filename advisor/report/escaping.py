"""Makes text from a log, a config or a file name safe to print."""

from __future__ import annotations

import re

from advisor.base.redact import redact_text

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"  # invisible, or reverses the text
)
_BREAK = re.compile(r"[\t\n\u2028\u2029]+")


def plain(text: str) -> str:
    """Remove control characters; line ends stay."""
    return _CONTROL.sub("", text)


def clean(text: str) -> str:
    """Remove control characters and secrets; line ends stay."""
    return redact_text(plain(text))


def one_line(text: str) -> str:
    """Return clean text on one line, so that no part of it can look like a line of ours."""
    return _BREAK.sub(" ", clean(text))
