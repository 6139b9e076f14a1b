"""A sweep: the losses over the rates in the terminal, and a page with all curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from rich.console import Console
from rich.text import Text

from advisor.compare.runs import Comparison
from advisor.report.curves_svg import PlottedCurve, colour, draw
from advisor.report.escaping import one_line
from advisor.report.html_page import page
from advisor.report.plots import plot
from advisor.run import Series
from advisor.tuning.sweep import Shot

_FINE = 100  # positions per decade, for a plot over the logarithm of the rate


def ends_of(shots: Sequence[Shot], comparison: Comparison) -> list[tuple[float, float]]:
    """Return each rate with its loss at the step where all are compared."""
    step = comparison.pick.step
    row = next((row for row in comparison.rows if row.step == step), comparison.rows[-1])
    runs = [shot for shot in shots if shot.run is not None]
    found = []
    for shot, cell in zip(runs, row.cells, strict=True):
        if cell.value is not None:
            found.append((shot.rate, cell.value))
    return found


def show_picture(console: Console, shots: Sequence[Shot], comparison: Comparison) -> None:
    """Print the loss over the rate, on a logarithmic scale."""
    ends = [(rate, loss) for rate, loss in ends_of(shots, comparison) if math.isfinite(loss)]
    places = np.array([round(_FINE * math.log10(rate)) for rate, _ in ends], np.int64)
    series = Series(comparison.series, places - (places.min() if places.size else 0),
                    np.array([loss for _, loss in ends]))  # fmt: skip
    lines = plot(series)
    if not lines:
        return
    first, last = (f"{rate:.3g}" for rate in (ends[0][0], ends[-1][0]))
    console.print(Text(f"{comparison.series} over the learning rate, {first} to {last}", "bold"))
    for line in lines[:-1]:
        console.print(line)


def to_html(shots: Sequence[Shot], comparison: Comparison, advice: str) -> str:
    """Return the page: the curves, the losses by rate, the pick."""
    curves = []
    for i, shot in enumerate(s for s in shots if s.run is not None):
        series = None if shot.run is None else shot.run.series.get(comparison.series)
        if series is not None:
            curves.append(
                PlottedCurve(
                    f"{shot.rate:.3g}", series.steps, series.values, colour(i), strong=True
                )
            )
    key = "".join(
        f'<span><i style="border-color:{c.colour}"></i>{escape(c.label)}</span>' for c in curves
    )
    rows = "".join(
        f"<tr><td>{rate:.3g}</td><td>{loss:.4f}</td></tr>"
        for rate, loss in ends_of(shots, comparison)
    )
    parts = [
        "<h1>Learning-rate sweep</h1>",
        f"<p><b>{escape(one_line(comparison.pick.why))}</b></p><p>{escape(one_line(advice))}</p>",
        f'{draw(curves)}<div class="key">{key}</div>',
        f"<table><tr><th>rate</th><th>{escape(comparison.series)}</th></tr>{rows}</table>",
    ]
    parts += [f"<p>{escape(one_line(f'{s.rate:.3g}: {s.said}'))}</p>" for s in shots if s.said]
    return page("Learning-rate sweep", parts)
