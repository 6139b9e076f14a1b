"""A small plot of a curve in Unicode braille, with the evidence marked on its axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from advisor.run import Series

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
WIDTH, HEIGHT = 60, 7
MARK = "▲"
DOTS = "⠁┤"  # the kinds of characters in a plot
COLOURS = ("cyan", "yellow")  # of the first and the second series


def plot(
    series: Series,
    other: Series | None = None,
    marks: Sequence[int] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
) -> list[Text]:
    """Return the lines of a plot of one or two series over the same steps; [] for too few points.

    A wide range of positive values is drawn, and labelled, on a logarithmic scale.
    """
    lines = [(s, np.isfinite(s.values)) for s in (series, other) if s is not None]
    finite = np.concatenate([s.values[ok] for s, ok in lines])
    if finite.size < 3:
        return []
    first = min(float(s.steps[0]) for s, _ in lines)
    last = max(float(s.steps[-1]) for s, _ in lines)
    span = (last - first) or 1.0
    log = bool(finite.min() > 0 and finite.max() / finite.min() > 50)
    low, high = float(finite.min()), float(finite.max())
    grids = []
    for s, ok in lines:
        x = (s.steps[ok].astype(np.float64) - first) / span * (2 * width - 1)
        y = _scale(s.values[ok], low, high, log)
        grids.append(np.zeros((height, width), dtype=np.int64))
        _draw(grids[-1], *(_connect(x, y) if ok.all() else (x, y)))
    labels = [f"{high:.4g}", f"{low:.4g}" + (" log" if log else "")]
    margin = max(len(text) for text in labels)
    out = []
    for i in range(height):
        label = labels[0] if i == 0 else labels[1] if i == height - 1 else ""
        line = Text.assemble((f"{label:>{margin}} ┤", "dim"))
        for cells in zip(*(grid[i] for grid in grids), strict=True):
            line.append(*_cell(cells))
        line.rstrip()
        out.append(line)
    axis = [" "] * width
    for step in marks:
        at = int(np.clip((step - first) / span * (width - 1), 0, width - 1))
        axis[at] = MARK
    if marks:
        out.append(Text(" " * (margin + 2) + "".join(axis).rstrip()))
    ends = f"step {first:.0f}".ljust(width - len(f"{last:.0f}")) + f"{last:.0f}"
    out.append(Text(" " * (margin + 2) + ends, "dim"))
    return out


def _cell(dots: Sequence[int]) -> tuple[str, str]:
    """Return the character of a cell and its colour: that of the last series within it."""
    joined = 0
    colour = ""
    for own, its in zip(dots, COLOURS, strict=False):
        joined |= int(own)
        colour = its if own else colour
    return (chr(0x2800 + joined) if joined else " "), colour


def _connect(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a line through few points: one dot a column between them."""
    between = np.arange(np.ceil(x[0]), np.floor(x[-1]) + 1)
    if between.size <= x.size:
        return x, y
    return np.concatenate([x, between]), np.concatenate([y, np.interp(between, x, y)])


def _scale(values: NDArray[np.float64], low: float, high: float, log: bool) -> NDArray[np.float64]:
    if log:
        values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
    # halved so that the largest floats do not overflow
    return np.clip((values / 2 - low / 2) / ((high / 2 - low / 2) or 1.0), 0.0, 1.0)


def _draw(grid: NDArray[np.int64], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Set the braille dots; many points in one column make a bar from lowest to highest."""
    height = grid.shape[0] * 4
    columns = np.rint(x).astype(int)
    rows = np.rint((1 - y) * (height - 1)).astype(int)
    order = np.argsort(columns, kind="stable")
    columns, rows = columns[order], rows[order]
    starts = np.flatnonzero(np.diff(columns, prepend=-1))
    highest, lowest = np.minimum.reduceat(rows, starts), np.maximum.reduceat(rows, starts)
    for column, top, bottom in zip(columns[starts], highest, lowest, strict=True):
        for row in range(top, bottom + 1):
            grid[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
