"""Makes benchmarks/results/tuning.md of what tuning.replay replayed and tuning.repair repaired.

    python -m benchmarks.tuning.results

Intervals are bootstrapped over start x task cells (a cell's seeds stay together); p is of a
paired permutation test of the same cells.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.places import RESULTS
from benchmarks.tuning.replay import OUT, TOLERANCE
from benchmarks.tuning.surface import load_surface
from benchmarks.tuning.tasks import CACHE, TASKS

RESULT = RESULTS / "tuning.md"
HELD_OUT = "dolly"  # the strategy was shaped on the other two
HEALTHY = 0.05  # a start within this of the best
WORSE = 0.01
DRAWS = 4000
Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=Path, default=OUT, help="what tuning.replay has written")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    asked = parser.parse_args()
    if not asked.rows.exists():
        raise SystemExit(f"{asked.rows}: not there; python -m benchmarks.tuning.replay makes it")
    rows: Rows = [json.loads(line) for line in asked.rows.read_text().splitlines()]
    text = "\n".join(
        [*_head(), *_wanted(rows), *_grids(), *_reached(rows), *_against(rows), *_repaired()]
    )
    print(text)
    if asked.write:
        RESULT.write_text(text + "\n")


def _head() -> list[str]:
    return [
        "# Tuning", "",
        "Made by `python -m benchmarks.tuning.results --write` of what"
        " `python -m benchmarks.tuning.replay` and `python -m benchmarks.tuning.repair`"
        " have written.", "",
        "Replays over dense grids of real runs of the tiny base model (benchmarks.tuning.grid),"
        " and real runs with one fault each (benchmarks.tuning.repair). The strategy was"
        f" shaped on gsm8k and alpaca; nothing was chosen by what {HELD_OUT} showed. A cost of 1"
        " is the start's own"
        " run; probes and aborted runs count by the tokens that they read. The tasks are small:"
        " runs of 2 to 96 steps, on texts cut short.", "",
    ]  # fmt: skip


def _wanted(rows: Rows) -> list[str]:
    """What was to be reached, and what is missed."""
    ours = _cells([row for row in rows if row["method"] == "ours"])
    near = {key: np.median([row["near_runs"] for row in cell]) <= 4 for key, cell in ours.items()}
    held = [value for (task, _), value in near.items() if task == HELD_OUT]
    word = "reached" if np.mean(list(near.values())) >= 0.8 else "missed"
    return [
        "## What was wanted", "",
        f"- within {TOLERANCE:.0%} of the best in at most 4 whole runs (median) on 80% of the"
        f" start x task cells: {word}, {np.mean(list(near.values())):.0%}; {np.mean(held):.0%} on"
        f" the task held out. {_near_best()}",
        "- healthy starts not made worse in 98%: see below the table of starts.",
        "- as good as TPE of 20 trials at 25% of its tokens: see the table of ours at fewer runs.",
        "- better than a sweep of five rates and than random repair, p < 0.05: see the table of"
        f" methods, and there the column for {HELD_OUT} alone.",
        "- faults repaired by real runs: the last table, with as many seeds as there was time for."
        " Keys that are no axis of a grid are tested only there.", "",
    ]  # fmt: skip


def _near_best() -> str:
    """Say what could be reached: how many cells are so near, how often the best itself is."""
    cells, hits = [], []
    for surface in map(load_surface, TASKS.values()):
        ends = {cell: [min(run["val"]) for run in runs.values()]
                for cell, runs in surface.lines.items()}  # fmt: skip
        limit = surface.best * (1 + TOLERANCE)
        cells.append(sum(float(np.mean(found)) <= limit for found in ends.values()))
        hits.append(float(np.mean([each <= limit for each in ends[surface.best_cell]])))
    few = f"A grid has {min(cells)} to {max(cells)} cells so near its best, and a run of the best"
    return f"{few} cell itself is within it with {min(hits):.0%} to {max(hits):.0%} of the seeds."


def _grids() -> list[str]:
    lines = ["## Grids", "", "| task | method | axes | cells | runs | best validation loss |"
             " there | spread of seeds |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for task in TASKS.values():
        surface = load_surface(task)
        runs = sum(len(each) for each in surface.lines.values())
        where = ", ".join(f"{k.rpartition('.')[2]} {v:.3g}"
                          for k, v in surface.values_of(surface.best_cell).items())  # fmt: skip
        spread = float(np.std([v for v, _ in surface.residuals])) if surface.residuals else 0.0
        axes = " x ".join(f"{k.rpartition('.')[2]} ({len(a)})" for k, a in task.axes.items())
        lines.append(f"| {task.name} | {task.method} | {axes} | {len(surface.lines)} | {runs} |"
                     f" {surface.best:.3f} | {where} | {spread / surface.best:.2%} |")  # fmt: skip
    return [*lines, ""]


def _reached(rows: Rows) -> list[str]:
    ours = [row for row in rows if row["method"] == "ours"]
    lines = [f"## Within {TOLERANCE:.0%} of the grid's best", "",
             "Medians over the seeds; near: the share of seeds that are within it after at most 4"
             " whole runs (probes beside them, their cost counted).", "",
             "| task | start | start is above | after 4 whole runs | near | whole runs to it |"
             " cost to it | cost of all | kept, above the best |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    good: dict[str, list[bool]] = defaultdict(list)
    for (task, start), cell in _cells(ours).items():
        m = {k: float(np.median([r[k] for r in cell]))
             for k in ("start_val", "after4", "near_runs", "near_cost", "cost", "val")}  # fmt: skip
        near = float(np.mean([r["near_runs"] <= 4 for r in cell]))
        good[task].append(m["near_runs"] <= 4)
        lines.append(f"| {task} | {start} | {m['start_val']:.1%} | {m['after4']:.1%} | {near:.0%} |"
                     f" {_plain(m['near_runs'])} | {_plain(m['near_cost'])} | {m['cost']:.1f} |"
                     f" {m['val']:.1%} |")  # fmt: skip
    every = [each for found in good.values() for each in found]
    lines += ["", f"Cells within it in at most 4 whole runs (median): {sum(every)} of {len(every)}"
              f" ({np.mean(every):.0%}; wanted 80%); on {HELD_OUT} alone"
              f" {sum(good[HELD_OUT])} of {len(good[HELD_OUT])}."]  # fmt: skip
    for name, keys in (("all tasks", set(good)), (HELD_OUT, {HELD_OUT})):
        part = [r for r in ours if r["task"] in keys]
        for limit in (0.01, 0.02, 0.03):
            cells = [
                np.median([r["after4"] for r in cell]) <= limit for cell in _cells(part).values()
            ]
            lines.append(f"- {name}: median after 4 whole runs within {limit:.0%} on"
                         f" {np.mean(cells):.0%} of the cells")  # fmt: skip
    healthy = [r for r in ours if r["start_val"] <= HEALTHY]
    kept = [r["test"] <= r["start_test"] * (1 + WORSE) for r in healthy]
    lines += ["", f"Healthy starts (within {HEALTHY:.0%} of the best): {np.mean(kept):.1%} of"
              f" {len(kept)} sessions end no more than {WORSE:.0%} above the start's test loss"
              " (wanted 98%)."]  # fmt: skip
    return [*lines, ""]


def _plain(value: float) -> str:
    return "not reached" if np.isinf(value) else f"{value:.3g}"


def _cells(rows: Rows) -> dict[tuple[str, str], Rows]:
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in rows:
        found[row["task"], row["start"]].append(row)
    return found


def _against(rows: Rows) -> list[str]:
    lines = ["## Against other methods", "",
             "Selected by validation, reported on test; all begin with the same start's run and"
             " have the same space. Difference: the other's test loss over ours, minus 1, the mean"
             " of start x task cells with its 95% interval: above 0 ours is better.", "",
             "| method | cost | validation above the best | test loss: difference to ours | p |"
             f" on {HELD_OUT} alone | tokens, ours over its |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    by = {(r["task"], r["start"], r["seed"], r["method"]): r for r in rows}
    methods = list(dict.fromkeys(r["method"] for r in rows))
    for method in sorted(methods, key=lambda m: (m != "ours", m)):
        mine = [r for r in rows if r["method"] == method]
        cost, val = (float(np.mean([r[k] for r in mine])) for k in ("cost", "val"))
        if method.startswith("ours "):
            continue
        if method == "ours":
            lines.append(f"| ours | {cost:.1f} | {val:.1%} | | | | |")
            continue
        gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
        shares = []
        for row in mine:
            ours = by.get((row["task"], row["start"], row["seed"], "ours"))
            if ours is not None:
                gaps[row["task"], row["start"]].append(row["test"] / ours["test"] - 1)
                shares.append(ours["tokens"] / row["tokens"])
        means = np.array([np.mean(each) for each in gaps.values()])
        held = np.array([np.mean(each) for (task, _), each in gaps.items() if task == HELD_OUT])
        head = f"| {method} | {cost:.1f} | {val:.1%} | {_interval(means)} |"
        tail = f" {_permuted(means):.3g} | {_interval(held)} | {np.mean(shares):.0%} |"
        lines.append(head + tail)
    return [*lines, "", *_short(rows)]


def _short(rows: Rows) -> list[str]:
    """Ours with fewer runs beside the longest studies: how few tokens are as good."""
    lines = ["| ours, limited to | its cost | beside | tokens, ours over its |"
             " test loss: difference to ours | p |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    by = {(r["task"], r["start"], r["seed"], r["method"]): r for r in rows}
    for mine in ("ours 2", "ours 4"):
        for other in ("TPE 20", "TPE 40"):
            gaps: dict[tuple[str, str], list[float]] = defaultdict(list)
            spent = [0.0, 0.0]
            for (task, start, seed, method), row in by.items():
                if method == other and (task, start, seed, mine) in by:
                    ours = by[task, start, seed, mine]
                    gaps[task, start].append(row["test"] / ours["test"] - 1)
                    spent = [spent[0] + ours["tokens"], spent[1] + row["tokens"]]
            means = np.array([np.mean(each) for each in gaps.values()])
            if means.size:
                cost = np.mean([r["cost"] for r in rows if r["method"] == mine])
                share = spent[0] / spent[1]
                head = f"| {mine[5:]} whole runs | {cost:.1f} | {other} | {share:.0%} |"
                lines.append(f"{head} {_interval(means)} | {_permuted(means):.3g} |")
    return [*lines, ""]


def _interval(values: NDArray[np.float64]) -> str:
    if not values.size:
        return "-"
    rng = np.random.default_rng(0)
    draws = rng.choice(values, (DRAWS, values.size)).mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return f"{values.mean():+.1%} ({low:+.1%} to {high:+.1%})"


def _permuted(values: NDArray[np.float64]) -> float:
    rng = np.random.default_rng(1)
    signs = rng.choice((-1.0, 1.0), (DRAWS, values.size))
    draws = np.abs((signs * values).mean(axis=1))
    return float((1 + (draws >= abs(values.mean()) - 1e-12).sum()) / (DRAWS + 1))


def _repaired() -> list[str]:
    path = CACHE / "repaired.jsonl"
    if not path.exists():
        return []
    rows: Rows = [json.loads(line) for line in path.read_text().splitlines()]
    done, old = {row["fault"] for row in rows}, CACHE / "repaired_before.jsonl"
    before: Rows = (
        [] if not old.exists() else [json.loads(line) for line in old.read_text().splitlines()]
    )
    rows += [{**row, "fault": f"{row['fault']} *"} for row in before if row["fault"] not in done]
    rows = [row for row in rows if row["fault"] != "good"]
    lines = ["## Repair of single faults, by real runs", "",
             "Above the good config's validation loss, medians over the seeds; back: within 2% of"
             " it. A rerun is a whole run; probes lie between them. *: by the strategy before its"
             " last change, not repeated yet.", "",
             "| fault | seeds | at first | after one rerun | after three | back after one |"
             " back after three |", "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for fault in dict.fromkeys(row["fault"] for row in rows):
        mine = [row for row in rows if row["fault"] == fault]
        m = [float(np.median([row[k] for row in mine])) for k in ("first", "one", "three")]
        back = [sum(row[k] <= 0.02 for row in mine) for k in ("one", "three")]
        lines.append(f"| {fault} | {len(mine)} | {m[0]:.1%} | {m[1]:.1%} | {m[2]:.1%} |"
                     f" {back[0]} | {back[1]} |")  # fmt: skip
    faults = [row for row in rows if row["first"] > 0.02]
    for name, part in (("All", rows), ("Those that the fault really harmed by over 2%", faults)):
        shares = [float(np.mean([row[k] <= 0.02 for row in part])) for k in ("one", "three")]
        lines += ["", f"{name}: {shares[0]:.0%} back after one rerun (wanted 90%), {shares[1]:.0%}"
                  f" after three (wanted 97%), of {len(part)} runs."]  # fmt: skip
    return [*lines, ""]


if __name__ == "__main__":
    main()
