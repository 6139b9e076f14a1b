"""Comparisons as tables for people and as one JSON object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advisor.compare.loss_table import Cell, Contestant
from advisor.compare.runs import Comparison
from advisor.pipeline import Failure
from advisor.report.contract import SCHEMA, best_of, finding_of, strict
from advisor.report.escaping import one_line
from advisor.report.text import COLOUR

WIDE = 6  # columns of names; more runs are numbered


def show(console: Console, comparison: Comparison, failures: Sequence[Failure]) -> None:
    """Print the table of losses, the runs, what differs, and the pick."""
    names = _column_names(comparison)
    console.print(_losses(comparison, names))
    console.print(_legend(comparison), style="dim")
    console.print(_runs(comparison, names))
    if comparison.differs:
        console.print(_differs(comparison, names))
    for finding in comparison.findings:
        level = (f"{finding.severity} ", COLOUR[finding.severity])
        console.print(Text.assemble(level, f"{finding.code} ", one_line(finding.message)))
    for note in comparison.notes:
        console.print(Text(f"note: {one_line(note)}", "dim"))
    show_failures(console, failures)
    pick = comparison.pick
    style = "bold green" if pick.clear else "bold yellow"
    head = "void " if comparison.void else "pick " if pick.clear else ""
    console.print(Text.assemble((head, style), one_line(pick.why)))


def show_failures(console: Console, failures: Sequence[Failure]) -> None:
    for failure in failures:
        console.print(Text.assemble(("not read ", "bold red"), one_line(failure.message)))


def _column_names(comparison: Comparison) -> list[str]:
    labels = [one_line(c.label) for c in comparison.contestants]
    if len(labels) <= WIDE:
        return labels
    return [f"[{i}]" for i in range(1, len(labels) + 1)]


def _losses(comparison: Comparison, names: Sequence[str]) -> Table:
    table = Table(title=comparison.series, title_justify="left", box=None, pad_edge=False)
    table.add_column("step", justify="right")
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    for row in comparison.rows:
        table.add_row(str(row.step), *(_cell(cell) for cell in row.cells))
    return table


def _cell(cell: Cell) -> Text:
    if cell.value is None:
        return Text("-", "dim")
    if not math.isfinite(cell.value):
        return Text(str(cell.value), "bold red")
    plain = 1e-3 <= abs(cell.value) < 1e5 or cell.value == 0
    number = f"{cell.value:.4f}" if plain else f"{cell.value:.4g}"
    text = Text(f"{'~' if cell.interpolated else ''}{number}")
    text.append("*" if cell.best else " ", "bold green")
    text.append("↑" if cell.rising else " ", "bold red")
    return text


def _legend(comparison: Comparison) -> str:
    cells = [cell for row in comparison.rows for cell in row.cells]
    parts = [
        "* lowest at this step" if any(c.best for c in cells) else "",
        "↑ above its own lowest by more than its noise" if any(c.rising for c in cells) else "",
        "~ between two evaluations" if any(c.interpolated for c in cells) else "",
    ]
    return "; ".join(part for part in parts if part)


def _runs(comparison: Comparison, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in ("run", "best", "at step", "noise", "checkpoint"):
        table.add_column(head, overflow="fold")
    for name, c in zip(names, comparison.contestants, strict=True):
        full = name if name == one_line(c.label) else f"{name} {one_line(c.label)}"
        best = c.best
        if best is None or best.series != comparison.series:
            table.add_row(Text(full), "-", "-", "-", "-")
            continue
        place = Text(one_line(best.place or "-"))
        noise = f"{c.noise:.2g}" if c.noise else "-"
        table.add_row(Text(full), f"{best.value:.4g}", str(best.step), noise, place)
    return table


def _differs(comparison: Comparison, names: Sequence[str]) -> Table:
    table = Table(title="differs", title_justify="left", box=None, pad_edge=False)
    table.add_column("key", overflow="fold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    for difference in comparison.differs:
        cells = (Text(_value(value)) for value in difference.values)
        table.add_row(Text(one_line(difference.native_key)), *cells)
    return table


def _value(value: object) -> str:
    text = "-" if value is None else one_line(str(value))
    return text if len(text) <= 60 else text[:57] + "..."


def to_json(comparison: Comparison | None, failures: Sequence[Failure]) -> str:
    """Return the whole object as strict JSON text."""
    whole: dict[str, Any] = {"schema": SCHEMA, "runs": [], "series": None, "table": []}
    whole |= {"differs": [], "findings": [], "void": None, "pick": None, "notes": []}
    if comparison is not None:
        whole |= _parts(comparison)
    whole["errors"] = [{"path": f.path, "message": f.message} for f in failures]
    return msgspec.json.format(msgspec.json.encode(strict(whole)), indent=1).decode()


def _parts(comparison: Comparison) -> dict[str, Any]:
    pick = comparison.pick
    chosen = None if pick.index is None else comparison.contestants[pick.index]
    return {
        "runs": [_run(c) for c in comparison.contestants],
        "series": comparison.series,
        "table": [
            {"step": row.step, "cells": [_cell_of(cell) for cell in row.cells]}
            for row in comparison.rows
        ],
        "differs": [
            {"key": d.key, "native_key": d.native_key, "values": list(d.values)}
            for d in comparison.differs
        ],
        "findings": [finding_of(f) for f in comparison.findings],
        "void": comparison.void or None,
        "pick": {
            "index": pick.index,
            "path": None if chosen is None else chosen.run.path,
            "id": None if chosen is None else chosen.run.id,
            "label": None if chosen is None else chosen.label,
            "clear": pick.clear,
            "step": pick.step,
            "value": pick.value,
            "margin": pick.margin,
            "noise": pick.noise,
            "why": pick.why,
        },
        "notes": list(comparison.notes),
    }


def _run(contestant: Contestant) -> dict[str, Any]:
    run = contestant.run
    return {
        "path": run.path,
        "id": run.id,
        "label": contestant.label,
        "format": run.format,
        "dialect": run.config.dialect,
        "config": run.config.path,
        "method": run.config.values.get("method"),
        "seed": run.config.values.get("rng.seed"),
        "points": {name: len(series) for name, series in sorted(run.series.items())},
        "noise": contestant.noise,
        "best": best_of(contestant.best),
        "notes": list(run.notes),
    }


def _cell_of(cell: Cell) -> dict[str, Any]:
    return {
        "value": cell.value,
        "best": cell.best,
        "rising": cell.rising,
        "interpolated": cell.interpolated,
    }
