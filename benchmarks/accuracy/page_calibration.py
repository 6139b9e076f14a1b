"""The calibration's part of the accuracy page: how sure is sure, severities, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What a finding of each severity costs where it is wrong, and what its absence costs, in runs.
COSTS = {
    "error": ("stops a good run: 1 run", "the run and the next are lost: 1 to 2 runs", 0.9),
    "warning": ("one needless change: up to 1 run", "a run that could be better: 0.5 run", 0.9),
}


def calibration_part(data: Mapping[str, Any], table: Any) -> list[str]:
    lines = severity_part(data, table)
    if "calibration" in data:
        lines += confidence_part(data["calibration"], table)
        lines += limits_part(data["calibration"].get("limits") or {}, table)
    return lines


def severity_part(data: Mapping[str, Any], table: Any) -> list[str]:
    lines = [
        "## Severities and what they cost",
        "",
        "An error says that the run is lost, a warning that a change will make it better, a remark",
        "(`info`) that a setting is unusual or that nothing is wrong; remarks never fail a check.",
        "A wrong alarm costs trust beside the runs, so a severity has to be right in 90%; a rule",
        "that is not is made milder or mended.",
        "",
    ]
    lines += table(
        ("severity", "a wrong one costs", "a missing one costs", "needed precision"),
        ((level, wrong, missing, needed) for level, (wrong, missing, needed) in COSTS.items()),
    )
    return lines + table(
        ("set", *(f"{level}: precision" for level in COSTS)),
        (
            (name, *(_share(levels.get(level, [0, 0])) for level in COSTS))
            for name, levels in data["severity"].items()
        ),
    )


def confidence_part(found: Mapping[str, Any], table: Any) -> list[str]:
    lines = [
        "## How sure is sure",
        "",
        "The confidence of a finding is the share of right findings of its rule on labelled runs",
        "(`confidence_from: calibration`), drawn towards the rule's own word (low 0.5, medium",
        f"0.75, high 0.9), which weighs as much as {found['weight']:g} findings on trained runs; a",
        f"finding on a generated run weighs {found['share']:g}. Both numbers are those that gave",
        "folds left out the highest likelihood, each fold one architecture and data set of the",
        f"gallery's tune split. Rules with fewer than {found['enough']} findings, rules whose",
        "condition has changed since, and remarks keep their word (`confidence_from: rule`).",
        f"Measured: {found['measured']} of {found['loud']} rules that warn. Made by",
        "`python -m benchmarks.tools.calibrate`.",
        "",
        "![Share of right findings by confidence, on the held-out halves](calibration.svg)",
        "",
    ]
    lines += table(
        ("set", "findings", "expected calibration error", "by the words alone"),
        (
            (name, both["measured"]["findings"], _number(both["measured"]["error"]),
             _number(both["word"]["error"]))
            for name, both in found["sets"].items()
        ),
    )  # fmt: skip
    lines += table(
        ("rule", "severity", "trained: right", "generated: right", "confidence"),
        (
            (f"[{code}](rules/{code}.md)", severity, _share([right, said]), _share([ok, made]),
             f"{sure:.2f}")
            for code, (severity, _, said, right, made, ok, sure) in found["rules"].items()
        ),
    )  # fmt: skip
    return lines


def limits_part(found: Mapping[str, Any], table: Any) -> list[str]:
    if not found:
        return []
    lines = [
        "## How limits were chosen, and how much they matter",
        "",
        "Limits are in units of the run's own noise, or are shares that the guide names. They were",
        "set on generated runs of seeds below 1000, on the real logs and on the gallery's tune",
        "split. Here every limit of every rule that warns is moved by a quarter, either way, and",
        f"the macro F1 over {found['runs']} tune runs (generated and gallery together) is taken",
        f"again; it is {found['base']:.3f} as they stand. Of {found['limits']} limits these matter",
        "most:",
        "",
    ]
    lines += table(
        ("rule", "limit", "value", "moved", "macro F1 changes by", "runs right", "runs changed"),
        (
            (f"[{code}](rules/{code}.md)", name, f"{value:g}", move, f"{change:+.4f}",
             f"{gain:+d}", n)
            for code, name, value, move, change, gain, n in found["rows"]
        ),
    )  # fmt: skip
    lines += [
        "Would another choice have been better? For each architecture and data set: the one move",
        "that makes most runs right on all others, and what it does on the one left out.",
        "",
    ]
    return lines + table(
        ("left out", "best move on the others", "gains there, in runs", "gains here"),
        ((fold, move, f"{there:+d}", f"{here:+d}")
         for fold, (move, there, here) in found["chosen"].items()),
    )  # fmt: skip


def _share(pair: Sequence[int]) -> str:
    part, whole = pair
    return f"{part / whole:.3f} ({part}/{whole})" if whole else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
