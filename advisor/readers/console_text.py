"""Lines of a console log: bounded, decoded, split at carriage returns, free of terminal codes."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 22  # bytes read at a time
LONGEST = 16_384  # characters of a line that are looked at

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PREFIX = re.compile(r"^\s*(?:\[[\w.-]*rank ?\d+\]:?\s*|\(?[\w-]+ pid=\d+[^)]*\)\s*|\d+: (?=\{))+", re.I)


def decoder(head: bytes) -> codecs.IncrementalDecoder:
    """The decoder for a file that begins so; PowerShell's '>' writes UTF-16."""
    name = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return codecs.getincrementaldecoder(name)(errors="replace")


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each piece between line feeds or carriage returns, not cleaned."""
    number = 1
    with path.open("rb") as file:
        decode = None
        rest = ""
        while True:
            raw = file.read(CHUNK)
            if decode is None:
                decode = decoder(raw)
            text = rest + decode.decode(raw, final=not raw)
            parts = text.split("\n")
            # a piece without an end is kept for the next chunk unless it is far too long
            rest = parts.pop() if raw and len(parts[-1]) < CHUNK else ""
            for part in parts:
                if "\r" in part:
                    for piece in part.split("\r"):
                        if piece:
                            yield number, piece[:LONGEST]
                elif part:
                    yield number, part[:LONGEST]
                number += 1
            if not raw:
                return


def clean(text: str) -> str:
    """The line without terminal codes and the mark of a rank before it."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return _PREFIX.sub("", text)
