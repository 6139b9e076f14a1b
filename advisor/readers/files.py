"""Reading bytes safely: regular files only, bounded sizes, compressed and UTF-16 files decoded."""

from __future__ import annotations

import codecs
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO

from advisor.errors import ReadError

# All in bytes.
MAX_BYTES = 4 << 30
MAX_UNPACKED = 1 << 30  # a small compressed file can expand to any size
HEAD = 1 << 16
FIRST_CHUNK = 1 << 14
CHUNK = 1 << 22
MAX_LINE = 1 << 26

# The first bytes of compressed files, and the module that opens them, imported when needed.
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\x00", "lzma"))
_MARKS = (  # longer marks first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


@contextmanager
def open_log(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a log: yield its decompressed stream and the most bytes to read from it.

    The limit is the size at the time of opening, so that a growing file ends. ReadError where the
    file is not regular, too large, damaged or unreadable.
    """
    try:
        # without blocking: a pipe without a writer must not stop the search
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(number, "rb") as file:
            state = os.fstat(number)
            if not stat.S_ISREG(state.st_mode):
                raise ReadError(f"{path}: not a regular file; save its content to a file first")
            if state.st_size > MAX_BYTES:
                limit = f"{state.st_size >> 20} MiB is more than {MAX_BYTES >> 20} MiB"
                raise ReadError(f"{path}: {limit}; cut it")
            head = file.read(8)
            file.seek(0)
            packed = next((kind for mark, kind in _PACKED if head.startswith(mark)), "")
            if packed:
                with _unpack(path, file, packed) as inner:
                    yield inner, MAX_UNPACKED
            else:
                yield file, state.st_size
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise ReadError(f"{path}: cannot be read: {error}") from None


@contextmanager
def _unpack(path: Path, file: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    module = import_module(kind)
    damage = (EOFError, OSError, zlib.error, getattr(module, "LZMAError", EOFError))
    try:
        with module.open(file) as inner:
            yield inner
    except damage:
        raise ReadError(f"{path}: a damaged archive; unpack what is left of it") from None


def read_raw(path: Path) -> bytes:
    """Return the whole file, decompressed."""
    with open_log(path) as (file, most):
        data = file.read(most + 1 if most == MAX_UNPACKED else most)
        if most == MAX_UNPACKED and len(data) > most:
            raise ReadError(f"{path}: unpacks to more than {most >> 20} MiB; unpack and cut it")
    return data


def chunks_of_lines(path: Path, growing: bool = False) -> Iterator[bytes]:
    """Yield the text as UTF-8 in chunks of whole lines, so that memory stays bounded.

    The first chunk is small: readers learn the layout from it. Of a ``growing`` log an
    unterminated last line is held back.
    """
    with open_log(path) as (file, left):
        size, rest = FIRST_CHUNK, b""
        decoder: codecs.IncrementalDecoder | None = None
        while left > 0:
            raw = file.read(min(size, left))
            if size == FIRST_CHUNK and encoding_of(raw) != "utf-8":
                decoder = codecs.getincrementaldecoder(encoding_of(raw))("replace")
            left -= len(raw)
            size = CHUNK
            text = raw if decoder is None else decoder.decode(raw).encode("utf-8", "replace")
            cut = text.rfind(b"\n") + 1
            if cut and raw:
                yield rest + text[:cut]
                rest = text[cut:]
            else:
                rest += text
            if not raw or len(rest) > MAX_LINE:
                break
        if len(rest) > MAX_LINE:
            raise ReadError(f"{path}: a line of more than {MAX_LINE >> 20} MiB; this is no log")
    if rest.strip() and not growing:
        yield rest


def read_bytes(path: Path) -> bytes:
    """Return the text of the whole file as UTF-8 without a byte order mark."""
    data = read_raw(path)
    name = encoding_of(data[:HEAD])
    if name == "utf-8-sig":
        data = data[len(codecs.BOM_UTF8) :]
    elif name != "utf-8":
        data = data.decode(name, "replace").encode("utf-8", "replace")
    if not data[:HEAD].strip() and not data.strip():  # strip copies all of a large file
        raise ReadError(f"{path}: the file is empty")
    return data


def read_head(path: Path, size: int = HEAD) -> bytes:
    """Return the first ``size`` bytes, decompressed and as UTF-8."""
    with open_log(path) as (file, most):
        head = file.read(min(size, most))
    name = encoding_of(head)
    return head if name == "utf-8" else head.decode(name, "ignore").encode("utf-8", "ignore")


def encoding_of(head: bytes) -> str:
    """Return the encoding by the first bytes: by the byte order mark or zero bytes, else UTF-8."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    start = head[:32]
    if len(start) >= 8 and len(start) % 2 == 0:  # UTF-16 without a mark: every other byte is 0
        for first, name in ((0, "utf-16-le"), (1, "utf-16-be")):
            others = start[first::2]
            if not any(start[1 - first :: 2]) and all(9 <= byte < 127 for byte in others):
                return name
    return "utf-8"
