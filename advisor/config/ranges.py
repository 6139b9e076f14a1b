"""The recommended ranges of presets/ranges.yaml, by method and by number of samples used."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from advisor.base.paths import data_dir
from advisor.errors import RuleError

SOURCE = "ranges.yaml"
COMPILED = "ranges.json"
SCALES = ("small", "medium", "large")
SMALL, LARGE = 5_000, 50_000  # samples used; the guide's bounds
# A method without a range for a key uses that of its nearest relative.
_RELATIVES = {"dora": ("dora", "lora"), "qlora": ("qlora", "lora")}


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A recommended range of one key, or its recommended values.

    With ``per``, the range is for the ratio of the value to the value of that other key.
    ``field_best`` is the best value in later work, ``field_high`` the highest value there, and
    ``origin`` names that work.
    """

    key: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str | bool, ...] = ()
    per: str = ""
    guide: tuple[str, ...] = ()
    why: str = ""
    field_best: float | None = None
    field_high: float | None = None
    origin: str = ""


class RangeRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of presets/ranges.yaml.

    A row of the ``guide`` holds a pair of bounds for all scales, or one pair per scale. A row of
    later work has an ``origin`` and the ``best`` value for a model of width ``width``: it scales
    with a family's ``power`` of (width / its own), and runs of fewer than ``brief`` steps use
    ``times`` as much. ``room`` is the factor by which a value may differ from the best.
    """

    method: str
    key: str
    why: str
    guide: str = ""
    origin: str = ""
    all: tuple[float, float] | None = None
    small: tuple[float, float] | None = None
    medium: tuple[float, float] | None = None
    large: tuple[float, float] | None = None
    allowed: tuple[str | bool, ...] = ()
    per: str = ""
    best: float | None = None
    room: float = 1.0
    width: float = 1.0
    power: dict[str, float] = {}
    brief: float = 0.0
    times: float = 1.0


class _Compiled(msgspec.Struct):
    checksum: int
    rows: list[RangeRow]


def scale_of(samples: float) -> str:
    """Return small, medium or large."""
    if samples < SMALL:
        return "small"
    return "large" if samples > LARGE else "medium"


def range_for(key: str, method: str, samples: float | None) -> KeyRange | None:
    """Return the recommended range of a key, or None if there is none.

    With unknown ``samples`` it spans all scales.
    """
    row = _row(key, method, is_guide=True)
    return None if row is None else _range(row, samples)


def with_field(known: KeyRange, method: str, steps: float | None, model: str) -> KeyRange:
    """Return the range with the findings of later work added. ``steps`` is the length of the run,
    if known, and ``model`` its name."""
    key = known.key
    row = _row(key, method, is_guide=False)
    if row is None or row.best is None:
        return known
    name = model.lower().rstrip("/").rsplit("/", 1)[-1]
    best, width = row.best, width_of(name)
    power = next((p for family, p in row.power.items() if family in name), 0.0)
    if width is not None:
        best *= (row.width / width) ** power
    if steps is not None and steps < row.brief:
        best *= row.times
    best, high = (float(f"{value:.2g}") for value in (best, best * row.room))
    return replace(
        known, field_best=best, field_high=max(high, known.high or 0.0), origin=row.origin
    )


def top_of(key: str, method: str) -> float | None:
    """Return the guide's highest value over all amounts of data, over all methods if the run's has
    none."""
    rows = [row for row in load_ranges() if row.key == key and row.guide]
    rows = [row for row in rows if row.method == method] or rows
    pairs = [pair for row in rows for pair in (row.all, row.small, row.medium, row.large) if pair]
    return max((high for _, high in pairs), default=None)


def width_of(model: str) -> float | None:
    """Return the approximate width of a model, from the billions of weights in its name.

    A model of L layers of width d has about 12 L d^2 weights, and L is about d / 100.
    """
    stated = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z])", model.lower())
    count = float(stated[1]) * 1e9 if stated else 0.0
    return (count / 0.12) ** (1 / 3) if count else None


def _row(key: str, method: str, is_guide: bool) -> RangeRow | None:
    for name in _RELATIVES.get(method, (method,)):
        for row in load_ranges():
            if row.method == name and row.key == key and bool(row.guide) == is_guide:
                return row
    return None


def _range(row: RangeRow, samples: float | None) -> KeyRange:
    rows = (row.guide,)
    if row.allowed:
        return KeyRange(row.key, None, None, row.allowed, row.per, rows, row.why)
    scales = SCALES if samples is None else (scale_of(samples),)
    pairs = [row.all or getattr(row, scale) for scale in scales]
    low, high = min(pair[0] for pair in pairs), max(pair[1] for pair in pairs)
    return KeyRange(row.key, low, high, (), row.per, rows, row.why)


def warmup_range(total_steps: float) -> tuple[float, float]:
    """Return the fewest and most warm-up steps recommended for a run of that length.

    The guide's three bands joined without gaps: a handful of steps in short runs, 5 to 10% in
    medium ones, 10% and at most 1000 in long ones.
    """
    share = 0.1 * total_steps
    if total_steps < 500:
        return min(5.0, share), max(10.0, share)
    if total_steps <= 5000:
        return min(50.0, 0.05 * total_steps), max(200.0, share)
    return 0.01 * total_steps, max(1000.0, share)


@cache
def load_ranges() -> tuple[RangeRow, ...]:
    """Return all rows, from the compiled file where it is up to date."""
    folder = data_dir("presets")
    text = (folder / SOURCE).read_bytes().replace(b"\r\n", b"\n")
    try:
        compiled = msgspec.json.decode((folder / COMPILED).read_bytes(), type=_Compiled)
    except (OSError, msgspec.DecodeError):  # absent or of another version: read the YAML
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


def _parse(path: Path) -> list[RangeRow]:
    from advisor.base.strict_yaml import parse_yaml  # slow to import

    document = parse_yaml(path.read_text(encoding="utf-8"))
    faults = [f"{path}:{fault.line}: {fault.what}" for fault in document.faults]
    if faults:
        raise RuleError("\n".join(faults))
    try:
        return msgspec.convert(document.data, type=list[RangeRow])
    except msgspec.ValidationError as error:
        raise RuleError(f"{path}:1: {error}") from None
