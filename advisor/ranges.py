"""The recommended ranges of presets/ranges.yaml, by method and by how many samples were used."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from advisor.errors import RuleError
from advisor.paths import data_dir

SOURCE = "ranges.yaml"
COMPILED = "ranges.json"
SCALES = ("small", "medium", "large")
SMALL, LARGE = 5_000, 50_000  # samples really used; the guide's own bounds
# A method that has no range of its own for a key takes that of its nearest relative.
_RELATIVES = {"dora": ("dora", "lora"), "qlora": ("qlora", "lora")}


@dataclass(frozen=True, slots=True)
class Range:
    """A recommended range of one key, or the values it should have.

    With ``per`` the range is of the value over the value of that other key.
    """

    key: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str | bool, ...] = ()
    per: str = ""
    guide: tuple[str, ...] = ()
    why: str = ""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of presets/ranges.yaml: a pair of bounds for all scales, or one for each."""

    guide: str
    method: str
    key: str
    why: str
    all: tuple[float, float] | None = None
    small: tuple[float, float] | None = None
    medium: tuple[float, float] | None = None
    large: tuple[float, float] | None = None
    allowed: tuple[str | bool, ...] = ()
    per: str = ""


class _Compiled(msgspec.Struct):
    checksum: int
    rows: list[Row]


def scale_of(samples: float) -> str:
    """Return small, medium or large."""
    if samples < SMALL:
        return "small"
    return "large" if samples > LARGE else "medium"


def range_for(key: str, method: str, samples: float | None) -> Range | None:
    """Return the recommended range of a key, or None where there is none.

    With unknown ``samples`` it spans all scales.
    """
    for name in _RELATIVES.get(method, (method,)):
        for row in load_ranges():
            if row.method == name and row.key == key:
                return _range(row, samples)
    return None


def _range(row: Row, samples: float | None) -> Range:
    rows = (row.guide,)
    if row.allowed:
        return Range(row.key, None, None, row.allowed, row.per, rows, row.why)
    scales = SCALES if samples is None else (scale_of(samples),)
    pairs = [row.all or getattr(row, scale) for scale in scales]
    low, high = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    return Range(row.key, low, high, (), row.per, rows, row.why)


def warmup_range(total_steps: float) -> tuple[float, float]:
    """Return the fewest and most warm-up steps that suit a run of that length.

    The guide's three bands joined without gaps: a handful in short runs, 5 to 10% in medium
    ones, 10% and at most 1000 in long ones.
    """
    share = 0.1 * total_steps
    if total_steps < 500:
        return min(5.0, share), max(10.0, share)
    if total_steps <= 5000:
        return min(50.0, 0.05 * total_steps), max(200.0, share)
    return 0.01 * total_steps, max(1000.0, share)


@cache
def load_ranges() -> tuple[Row, ...]:
    """Return all rows, from the compiled file where it is up to date."""
    folder = data_dir("presets")
    text = (folder / SOURCE).read_bytes().replace(b"\r\n", b"\n")
    try:
        compiled = msgspec.json.decode((folder / COMPILED).read_bytes(), type=_Compiled)
    except (OSError, msgspec.DecodeError):  # absent, or of another version: the YAML is there
        return tuple(_parse(folder / SOURCE))
    if compiled.checksum != zlib.crc32(text):
        return tuple(_parse(folder / SOURCE))
    return tuple(compiled.rows)


def compile_ranges(folder: Path | None = None) -> str:
    """Return the text of presets/ranges.json."""
    path = (folder or data_dir("presets")) / SOURCE
    checksum = zlib.crc32(path.read_bytes().replace(b"\r\n", b"\n"))
    compiled = msgspec.json.encode(_Compiled(checksum, _parse(path)))
    return msgspec.json.format(compiled, indent=1).decode() + "\n"


def _parse(path: Path) -> list[Row]:
    from advisor.strict_yaml import parse_yaml  # only here: it reads YAML

    document = parse_yaml(path.read_text(encoding="utf-8"))
    faults = [f"{path}:{fault.line}: {fault.what}" for fault in document.faults]
    if faults:
        raise RuleError("\n".join(faults))
    try:
        return msgspec.convert(document.data, type=list[Row])
    except msgspec.ValidationError as error:
        raise RuleError(f"{path}:1: {error}") from None
