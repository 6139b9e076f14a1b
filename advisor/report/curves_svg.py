"""Several curves as one inline SVG, in the colours of the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 900, 320
COLOURS, GOLDEN = 8, 137.5  # colours in the page's style; degrees between further hues
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 34
_MOST = 400  # points drawn per curve
_FAR = 50.0  # frame heights above the frame, in place of infinity
_WIDE = 3.0  # times the spread of the ends; the frame cuts off what lies above


@dataclass(frozen=True, slots=True)
class PlottedCurve:
    """One line of the plot."""

    label: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    colour: str  # as in CSS
    strong: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        share = (step - self.first) / ((self.last - self.first) or 1.0)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return HEIGHT - _BOTTOM - min(share, _FAR) * (HEIGHT - _TOP - _BOTTOM)


def colour(at: int) -> str:
    """Return a colour that no other curve has: the page's colours first, then hues between them."""
    if at < COLOURS:
        return f"var(--c{at})"
    return f"hsl({round(at * GOLDEN % 360)} {45 + 25 * (at % 2)}% {40 + 15 * (at // 2 % 2)}%)"


def draw(curves: Sequence[PlottedCurve], whole: bool = False) -> str:
    """Return the SVG, '' if no curve has a finite point; with ``whole`` nothing is cut off."""
    shown = [(c, np.isfinite(c.values)) for c in curves if np.isfinite(c.values).any()]
    if not shown:
        return ""
    frame = _frame(shown, whole)
    inner = HEIGHT - _TOP - _BOTTOM
    lines = [_line(c, good, frame) for c, good in sorted(shown, key=lambda pair: pair[0].strong)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="losses over steps">{_grid(frame)}'
        # an inner svg element clips what lies outside it
        f'<svg x="0" y="{_TOP}" width="{WIDTH}" height="{inner}" '
        f'viewBox="0 {_TOP} {WIDTH} {inner}">{"".join(lines)}</svg></svg>'
    )


def _frame(shown: Sequence[tuple[PlottedCurve, NDArray[np.bool_]]], whole: bool) -> _Frame:
    steps = np.concatenate([c.steps[good] for c, good in shown]).astype(np.float64)
    values = np.concatenate([c.values[good] for c, good in shown])
    lows = np.array([c.values[good].min() for c, good in shown])
    low = float(lows.min())
    # a run that blew up, or the first fall, must not flatten the part to compare
    high = low + _WIDE * max(float(np.median(values)) - low, float(np.median(lows)) - low, 1e-9)
    # the starts of the runs that matter are in the frame, to show how far they came
    begins = [float(c.values[good][0]) for c, good in shown if c.strong]
    high = min(max([high, *begins, *(float(v) for v in lows[_strong(shown)])]), float(values.max()))
    high = float(values.max()) if whole else high
    pad = 0.05 * (high - low or abs(low) or 1.0)
    return _Frame(float(steps.min()), float(steps.max()), low - pad, high + pad)


def _strong(shown: Sequence[tuple[PlottedCurve, NDArray[np.bool_]]]) -> list[int]:
    return [i for i, (curve, _) in enumerate(shown) if curve.strong]


def _line(curve: PlottedCurve, good: NDArray[np.bool_], frame: _Frame) -> str:
    at = np.flatnonzero(good)
    if at.size > _MOST:
        at = at[np.linspace(0, at.size - 1, _MOST).astype(int)]
    points = [(frame.x(float(curve.steps[i])), frame.y(float(curve.values[i]))) for i in at]
    style = f'stroke="{curve.colour}" fill="none" stroke-width="{3 if curve.strong else 1.6}"'
    style += ' stroke-dasharray="5 4"' if curve.dashed else ""
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    end_x, end_y = points[-1]
    dot = f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="3" fill="{curve.colour}"/>'
    return f'<polyline points="{text}" {style} stroke-linejoin="round"/>{dot}'


def _grid(frame: _Frame) -> str:
    parts = []
    for value in ticks(frame.low, frame.high, 5):
        y = frame.y(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="var(--line)"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
        )
    for step in ticks(frame.first, frame.last, 7):
        parts.append(
            f'<text x="{frame.x(step):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{step:g}</text>'
        )
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 2}" text-anchor="end">step</text>')
    return "".join(parts)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers between two."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    base = 10.0 ** math.floor(math.log10(rough))
    size = next(base * k for k in (1, 2, 5, 10) if base * k >= rough)
    first = math.ceil(low / size)
    return [round(k * size, 12) for k in range(first, math.floor(high / size) + 1)]
