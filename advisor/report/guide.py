"""The guide's rows that a rule is based on, as Markdown bullets."""

from __future__ import annotations

from collections.abc import Iterable

from advisor.config.ranges import LARGE, SMALL, RangeRow, load_ranges
from advisor.rulebook.guide import GuideRow, load_guide

_METHODS = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA", "dora": "DoRA"}
_SIZES = {
    "small": f"with fewer than {SMALL:,} samples",
    "medium": f"with {SMALL:,} to {LARGE:,}",
    "large": f"with more than {LARGE:,}",
}


def guide_rows(ids: Iterable[str]) -> str:
    """Return a bullet for each row: what you see, what it means, what to do."""
    return "\n".join(f"- {_row(load_guide()[name])}" for name in ids)


def _row(row: GuideRow) -> str:
    ranges = [_range(each) for each in load_ranges() if each.guide == row.id]
    does = f"do: {row.do}" if row.do else ""
    said = [text for text in (row.see, row.means, does, *ranges) if text]
    text = ". ".join(part[0].upper() + part[1:] for part in said)
    return f"{text}. (`{row.id}`)"


def _range(row: RangeRow) -> str:
    name = f"`{row.key}`" + (f" over `{row.per}`" if row.per else "")
    bounds = {size: getattr(row, size) for size in _SIZES}
    if row.allowed:
        values = " or ".join(f"`{value}`" for value in row.allowed)
    elif row.all:
        values = _bounds(row.all)
    else:
        values = ", ".join(f"{_bounds(b)} {_SIZES[size]}" for size, b in bounds.items() if b)
    return f"in {_METHODS[row.method]}, {name}: {values}"


def _bounds(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
