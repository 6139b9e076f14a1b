"""Reading the lines of a console log: bounded, decoded, split at carriage returns, cleaned."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from advisor.readers.files import encoding_of, open_log

FIRST = 1 << 16  # bytes of the first chunk, small since layouts are learned from it
CHUNK = 1 << 21  # bytes of the others
LONGEST = 16_384  # characters of a line that are read

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
# Prefixes by which launchers name the process that wrote a line.
_PREFIX = re.compile(
    r"^\s*(?:"
    r"\[[\w.-]*(?:rank|default|trainer|worker|node)[ _:=-]{0,2}\d+\]:?\s*|"  # torchrun, accelerate
    r"\[\d{1,4}(?:,\s?\d{1,4})?\](?:<std(?:out|err)>:?\s*|:\s*(?=\{))|"  # mpirun, horovodrun
    r"\(?[\w-]+ pid=\d+[^)]*\)\s*|"  # Ray
    r"\d{1,4}: (?=\{|\[|(?:global_?)?(?:step|iter|epoch))|"  # srun --label
    r"(?:(?:node|worker|host|gpu)[\w.-]{0,60}|\d{1,3}(?:\.\d{1,3}){3}): (?=\{|\[))+",  # pdsh
    re.IGNORECASE,
)
_BLANKS = re.compile(r"\s+")


def decoder(head: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder for a file with these first bytes; PowerShell's '>' writes UTF-16."""
    return codecs.getincrementaldecoder(encoding_of(head))(errors="replace")


def chunks(path: Path, growing: bool = False) -> Iterator[tuple[int, str]]:
    """Yield chunks of whole lines, each with the number of its first line.

    The last line may be unterminated; of a ``growing`` log it is then left out.
    """
    number = 1
    with open_log(path) as (file, left):
        raw = file.read(min(FIRST, left))
        decode = decoder(raw)
        rest = ""
        while True:
            text = rest + decode.decode(raw, final=not raw)
            cut = text.rfind("\n") + 1
            # an unterminated line waits for the next chunk unless it is far too long
            if not raw:
                cut = max(cut, text.rfind("\r") + 1) if growing else len(text)
            elif len(text) - cut > CHUNK:
                cut = len(text)
            piece, rest = text[:cut], text[cut:]
            if piece:
                yield number, piece
                number += piece.count("\n")
            if not raw:
                return
            left -= len(raw)
            raw = file.read(min(CHUNK, left))


def lines(number: int, text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each part between line feeds or carriage returns, uncleaned.

    ``number`` is that of the first line of ``text``.
    """
    for at, part in enumerate(text.split("\n"), number):
        if "\r" in part:
            for piece in part.split("\r"):
                if piece:
                    yield at, piece[:LONGEST]
        elif part:
            yield at, part[:LONGEST]


def clean(text: str) -> str:
    """Return the line without terminal codes and without the prefix of its writer."""
    return split_prefix(text)[1]


def split_prefix(text: str) -> tuple[str, str]:
    """Return the prefix of the process that wrote the line ('' without one), and the clean line."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    marked = _PREFIX.match(text)
    if marked is None:
        return "", text
    return _BLANKS.sub(" ", marked[0]).strip(), text[marked.end() :]
