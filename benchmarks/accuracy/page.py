"""The accuracy page from its data: the same data give the same text, which a test checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.accuracy.page_calibration import calibration_part

Row = Iterable[object]
HEAD = """# How right the advisor is

Made by `python -m benchmarks.accuracy.report` from \
[the data](../benchmarks/results/accuracy.json); none of it is written by hand.

- **generated**: {kinds} (seeds {seeds}, on which nothing was tuned).
- **gallery**: tiny models really trained, well or with one fault, by our trainer and by \
transformers'. A run is labelled by what happened beside the good run of its arrangement, not by \
the knob. *Held*: arrangements of architecture and data set on which nothing was tuned.
- **emulated**: faults that a CPU cannot have, put into real runs or made up beside them.
- **real logs**: logs that strangers committed, labelled by two readings; the rules' limits were \
set with them in sight.

Only warnings and errors count. An answer hits where the label demands one of its names, and is \
wrong where the label neither demands nor allows it. Names that mean one thing count as one: \
`spike` and `spikes`; `slow` and `lr_too_low`; `plateau`, `underfit` and `early_plateau`; \
`overfit` and `overfit_onset` stand for each other. Macro F1 is the mean over the symptoms that \
a set demands, so each weighs the same. Intervals are 95% by bootstrap over whole families \
(arrangements of the gallery, repositories, single generated runs).
"""


def page(data: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [
        HEAD.format(kinds="36 kinds of faults and 20 healthy kinds and traps", seeds=data["seeds"]),
        "## Goals\n",
        *table(("figure", "goal", "measured", "95% interval", "met"), goals(data)),
        *symptom_part(data),
        *confusion_part(data),
        *cause_part(data),
        *plan_part(data),
        *alarm_part(data),
        *delay_part(data),
        *peer_part(data),
        *calibration_part(data, table),
    ]
    return "\n".join(parts).rstrip() + "\n"


def table(head: Sequence[str], rows: Iterable[Row]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return [*lines, *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows), ""]


def number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def share(pair: Sequence[int]) -> str:
    part, whole = pair[:2]
    return f"{part / whole:.3f} ({part}/{whole})" if whole else "-"


def span(figure: Sequence[float | None]) -> str:
    return f"{number(figure[1])} to {number(figure[2])}" if len(figure) > 2 else ""


def goals(data: Mapping[str, Any]) -> list[Row]:
    sets, rows = data["sets"], []
    wanted = [
        ("macro F1, generated, held-out seeds", 0.95, sets.get("generated", {}).get("macro")),
        (
            "macro F1, gallery, held arrangements",
            0.90,
            sets.get("gallery held", {}).get("macro"),
        ),
        ("cause among the first, gallery", 0.75, data["gallery"]["top1"]),
        ("the same, held only", 0.75, sets.get("gallery held", {}).get("top1")),
        ("cause among the first three, gallery", 0.92, data["gallery"]["top3"]),
        ("the same, held only", 0.92, sets.get("gallery held", {}).get("top3")),
        ("plan moves the right key the right way, gallery", 0.90, data["gallery"]["plan"]),
        ("the same, held only", 0.90, sets.get("gallery held", {}).get("plan")),
    ]
    for name, goal, figure in wanted:
        if figure:
            missed = goal - figure[0]
            met = "yes" if missed <= 0 else f"no, by {missed:.3f}"
            rows.append((name, f">= {goal}", number(figure[0]), span(figure), met))
    alarms = data["all_alarms"]
    hit, runs, bound = alarms["all healthy"]
    below = "" if bound is None else f"below {bound:.1%}"
    enough = "" if runs >= 300 else f", of {runs} runs only"
    rows.append(("healthy runs alarmed", "0 of 300", f"{hit}/{runs}", below,
                 ("yes" if hit == 0 else f"no, by {hit}") + enough))  # fmt: skip
    hit, runs, bound = alarms["traps"]
    if runs:
        met = "yes" if hit <= 0.02 * runs else f"no, by {hit / runs - 0.02:.1%}"
        rows.append(
            ("of these: traps alarmed", "<= 2%", f"{hit}/{runs}", f"below {bound:.1%}", met)
        )
    return rows


def symptom_part(data: Mapping[str, Any]) -> list[str]:
    lines = ["## Symptoms", ""]
    rows = [
        (
            name, s["runs"], s["faulty"], s["healthy"], s["invisible"], share(s["recall"]),
            share(s["precision"]), number(*s["macro"][:1] or [None]), span(s["macro"]),
        )
        for name, s in data["sets"].items()
    ]  # fmt: skip
    lines += table(("set", "runs", "visible fault", "healthy", "nothing visible", "recall",
                    "precision", "macro F1", "95% interval"), rows)  # fmt: skip
    for name, s in data["sets"].items():
        lines += [f"### By symptom: {name}", ""]
        lines += table(
            ("symptom", "recall", "precision", "F1", "95% interval"),
            (
                (
                    f"`{symptom}`",
                    share([c["hit"], c["demanded"]]),
                    share([c["right"], c["said"]]),
                    number(c["f1"]) if c["demanded"] else "-",
                    f"{number(c['interval'][0])} to {number(c['interval'][1])}"
                    if c["interval"]
                    else "",
                )
                for symptom, c in s["symptoms"].items()
            ),
        )
    return lines


def confusion_part(data: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Confusion of symptoms",
        "",
        "Rows: what is demanded. Columns: the warnings said, in runs; a run may have several,",
        "and some of the others are allowed beside the demanded one.",
        "",
    ]
    for name, s in data["sets"].items():
        lines += [f"### Confusion: {name}", "", *matrix(s["confusion"], "demanded", "runs")]
    return lines


def matrix(rows: Mapping[str, Mapping[str, int]], head: str, total: str = "") -> list[str]:
    names = sorted({column for row in rows.values() for column in row if column != total})
    names.sort(key=lambda name: name.startswith("("))
    columns = [*([total] if total else []), *names]
    cells = ((row, *(counts.get(c) or "" for c in columns)) for row, counts in sorted(rows.items()))
    return table((head, *columns), cells)


def cause_part(data: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Causes",
        "",
        "Of gallery runs with a visible fault, the causes as a reader meets them, down the report;",
        "a fault that no finding tells counts as missed. Causes that the same change of the same",
        "key mends are one: " + "; ".join(" = ".join(f"`{n}`" for n in names)
                                          for names in data["equivalent"]) + ".",
        "",
    ]  # fmt: skip
    rows = [("gallery and emulated", data["gallery"])]
    rows += [(name, s) for name, s in data["sets"].items() if s["causes"]]
    lines += table(
        ("set", "runs", "among the first", "95% interval", "among the first three", "95% interval"),
        (
            (name, s["causes"], number(s["top1"][0]), span(s["top1"]), number(s["top3"][0]),
             span(s["top3"]))
            for name, s in rows if s["causes"]
        ),
    )  # fmt: skip
    by_cause = data["gallery"]["by_cause"]
    lines += table(
        ("true cause", "runs", "first", "first three"),
        ((f"`{cause}`", n, one, three) for cause, (n, one, three) in by_cause.items()),
    )
    lines += ["### Confusion of causes", "", "Columns: the first cause said.", ""]
    return lines + matrix(data["gallery"]["cause_confusion"], "true cause")


def plan_part(data: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Plans",
        "",
        "Right: the next run's edits hold one cure of the fault (the key, and its direction or",
        "value), and none moves a cure's key the other way. The plan takes one group of edits a",
        "run; the last column counts what it keeps for later runs too.",
        "",
    ]
    rows = [("gallery and emulated", data["gallery"])]
    rows += [(name, s) for name, s in data["sets"].items()]
    lines += table(
        ("set", "runs with a cure", "right", "95% interval", "with later runs"),
        (
            (name, s["cures"], number(s["plan"][0]), span(s["plan"]), number(s["plan_later"][0]))
            for name, s in rows if s["cures"]
        ),
    )  # fmt: skip
    faults: dict[str, list[int]] = {}
    for s in data["sets"].values():
        for fault, (right, n) in s["plan_by_fault"].items():
            old = faults.get(fault, [0, 0])
            faults[fault] = [old[0] + right, old[1] + n]
    rows_by_fault = ((fault, share(both)) for fault, both in sorted(faults.items()))
    return lines + table(("fault", "right"), rows_by_fault)


def alarm_part(data: Mapping[str, Any]) -> list[str]:
    lines = [
        "## False alarms",
        "",
        "Runs with a warning or error that the label does not allow. The bound is where the true",
        "rate lies below with 95% confidence; where none was seen in n runs it is about 3/n (the",
        "rule of three): 0 of 300 leaves 1% possible.",
        "",
    ]
    rows = [
        (name, kind, f"{hit}/{n}", f"{bound:.1%}")
        for name, kinds in [*data["alarms"].items(), ("all of these", data["all_alarms"])]
        for kind, (hit, n, bound) in kinds.items()
        if n
    ]
    return lines + table(("set", "runs", "alarmed", "rate below"), rows)


def delay_part(data: Mapping[str, Any]) -> list[str]:
    lines = ["## Delay", ""]
    if data.get("live"):
        lines += ["From [the benchmark of live advice](../benchmarks/results/live.md), which says",
                  "what onset and delay mean there:", "", *data["live"], ""]  # fmt: skip
    lines += [
        "### By prefixes",
        "",
        "Logged points from the labelled onset of a gallery run's fault to the first prefix of its",
        "log that `advise check` judges so.",
        "",
    ]
    rows = (
        (f"`{name}`", n, found, "-" if middle is None else middle)
        for name, (n, found, middle) in data["delay"].items()
    )
    return lines + table(("symptom", "runs with an onset", "found", "median delay"), rows)


def peer_part(data: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Beside other tools",
        "",
        "The same runs; symptoms and alarms only. What a tool's names mean is in",
        "[benchmarks/README.md](../benchmarks/README.md). A run whose files a tool cannot read",
        "is written for it anew as trainer_state.json.",
        "",
    ]
    for name in data["sets"]:
        rows = [
            (tool, number(s[name]["macro"]), share(s[name]["recall"]), share(s[name]["precision"]),
             "{}/{}".format(*s[name]["alarmed"]))
            for tool, s in data["peers"].items() if name in s
        ]  # fmt: skip
        alarmed = "alarmed without a demand" if name == "real logs" else "healthy runs alarmed"
        lines += [f"### Tools: {name}", ""]
        lines += table(("tool", "macro F1", "recall", "precision", alarmed), rows)
    return lines
