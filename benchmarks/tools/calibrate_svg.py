"""A reliability diagram as SVG text: confidence across, share of right findings up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, TOP, SIDE = 640, 430, 60, 20, 340
COLOURS = ("#1f77b4", "#d95f02", "#2a9d4b", "#7b3fa0")
STYLE = "font-family='system-ui, sans-serif' font-size='13'"


def diagram(sets: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """One mark a bin, its area by the number of findings; the diagonal is perfect.

    Both axes begin at a half where nothing lies below it.
    """
    low = 0.5 if all(min(m, s) >= 0.5 for bins in sets.values() for m, s, _ in bins) else 0.0
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' "
        f"width='{WIDTH}' height='{HEIGHT}' {STYLE} role='img'>",
        "<title>Reliability: share of right findings by confidence</title>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        *axes(low),
    ]
    for i, (name, bins) in enumerate(sets.items()):
        parts += marks(bins, COLOURS[i % len(COLOURS)], low)
        y = TOP + 22 + 20 * i
        parts.append(
            f"<circle cx='{LEFT + SIDE + 18}' cy='{y - 4}' r='5' "
            f"fill='{COLOURS[i % len(COLOURS)]}'/>"
            f"<text x='{LEFT + SIDE + 30}' y='{y}' fill='#222222'>{_escaped(name)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def axes(low: float) -> list[str]:
    parts = []
    for i in range(6):
        value = low + (1 - low) * i / 5
        x, y = place(value, value, low)
        parts += [
            f"<line x1='{x}' y1='{TOP}' x2='{x}' y2='{TOP + SIDE}' stroke='#e3e3e3'/>",
            f"<line x1='{LEFT}' y1='{y}' x2='{LEFT + SIDE}' y2='{y}' stroke='#e3e3e3'/>",
            f"<text x='{x}' y='{TOP + SIDE + 18}' text-anchor='middle' fill='#444444'>"
            f"{value:g}</text>",
            f"<text x='{LEFT - 8}' y='{y + 4}' text-anchor='end' fill='#444444'>{value:g}</text>",
        ]
    x0, y0 = place(low, low, low)
    x1, y1 = place(1, 1, low)
    middle = TOP + SIDE / 2
    return [
        *parts,
        f"<rect x='{LEFT}' y='{TOP}' width='{SIDE}' height='{SIDE}' fill='none' stroke='#888888'/>",
        f"<line x1='{x0}' y1='{y0}' x2='{x1}' y2='{y1}' stroke='#888888' stroke-dasharray='5 4'/>",
        f"<text x='{LEFT + SIDE / 2}' y='{TOP + SIDE + 42}' text-anchor='middle' fill='#222222'>"
        "confidence of the finding</text>",
        f"<text x='18' y='{middle}' text-anchor='middle' fill='#222222' "
        f"transform='rotate(-90 18 {middle})'>share that was right</text>",
    ]


def marks(bins: Sequence[Sequence[float]], colour: str, low: float) -> list[str]:
    parts = []
    for mean, share, n in bins:
        x, y = place(mean, share, low)
        radius = min(14.0, 3 + n**0.5 / 2)
        parts.append(
            f"<circle cx='{x}' cy='{y}' r='{radius:.1f}' fill='{colour}' fill-opacity='0.55' "
            f"stroke='{colour}'><title>{mean:.3f} sure, {share:.3f} right, {n:.0f} findings"
            "</title></circle>"
        )
    return parts


def place(mean: float, share: float, low: float) -> tuple[float, float]:
    across, up = ((value - low) / (1 - low) for value in (mean, share))
    return round(LEFT + SIDE * across, 1), round(TOP + SIDE * (1 - up), 1)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
