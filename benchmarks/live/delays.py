"""How soon a Monitor speaks, and how often wrongly; takes ../shared/logs too where it is.

python -m benchmarks.live.delays [--seeds 1000:1010] [--seconds 0] [--logs 4] [--show]

Runs are fed row by row, ``--seconds`` apart (0: the least is granted for looks). Generated runs
have known onsets; runs of the gallery say theirs in labels.jsonl; of real logs only the sure
ones are taken: first NaN, first zero loss beside a NaN gradient. Seeds below 1000 are for tuning.
Writes benchmarks/results/live.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable

import numpy as np

from advisor.monitor import Monitor
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.signals import View, resolve
from benchmarks.live.runs import (
    KINDS,
    Live,
    Told,
    delay,
    gallery,
    generated,
    healthy,
    real_logs,
    replay,
)
from benchmarks.places import RESULTS

RESULT = RESULTS / "live.md"
GOALS = {
    "nonfinite": "at the same point",
    "zero": "at the same point",
    "spike": "at the same point",
    "rate": "within 10 points; before 1.5 times the minimum in 80%",
    "overfit": "within 2 evaluations",
    "plateau": "within 10% of the run",
}
WITHIN = {"nonfinite": 0, "zero": 0, "spike": 0, "rate": 10, "overfit": 2}


def in_time(run: Live, late: int) -> bool:
    if run.group == "plateau":
        return late <= 0.1 * sum("loss" in row for row in run.rows)
    return late <= WITHIN[run.group]


def before_it_was_high(run: Live, told: Told) -> bool:
    """Told before the loss (three points of it) was 1.5 times its minimum."""
    row = told.first(run.answers, run.onset or 0)
    if row is None:
        return False
    losses = np.array([float(str(r["loss"])) for r in run.rows[: row + 1] if "loss" in r])
    if losses.size < 3:
        return True
    three = np.convolve(losses, np.ones(3) / 3, "valid")
    return bool(three[-1] < 1.5 * three.min())


def is_beyond_limit(run: Live, rulebook: Rulebook) -> bool:
    """Whether the rule of a jump, asked at the very point, says that it is one."""
    monitor = Monitor(rulebook=rulebook, facts=run.facts, clock=lambda: 0.0)
    rule = rulebook.find("LR011")
    for row in run.rows[: (run.onset or 0) + 1]:
        metrics = {k: v for k, v in row.items() if k != "step"}
        monitor.observe(int(str(row["step"])), **metrics)
    height = resolve("loss.jump_now", View(monitor.report().run)).value
    return rule is not None and height is not None and height > rule.limits["height"]


def delays(group: str, runs: Iterable[Live], rulebook: Rulebook, seconds: float, show: bool) -> str:
    """One row of the table."""
    late: list[float] = []
    timely = missed = early = count = beyond = at_once = 0
    for run in runs:
        told = replay(run, rulebook, seconds)
        count += 1
        found = delay(run, told)
        if group == "spike" and is_beyond_limit(run, rulebook):
            beyond += 1
            at_once += found == 0
        early += before_it_was_high(run, told)
        if found is None:
            missed += 1
        else:
            late.append(found)
            timely += in_time(run, found)
        if show and (found is None or not in_time(run, found)):
            print(f"  {run.name}: {found} {run.unit} after row {run.onset} of {len(run.rows)}")
    if not count:
        return f"| {group} | 0 | - | - | - | - | - | {GOALS[group]} |"
    spread = np.quantile(late, [0.5, 0.8, 1.0]) if late else [np.nan] * 3
    high = f"{early / count:.0%}" if group == "rate" else "-"
    if group == "spike":
        high = f"{at_once} of {beyond} beyond its limit"
    return (
        f"| {group} | {count} | {timely / count:.0%} | {high} | "
        + " | ".join(f"{value:.0f}" for value in spread)
        + f" | {missed} | {GOALS[group]} |"
    )


def alarms(runs: Iterable[Live], rulebook: Rulebook, seconds: float) -> tuple[str, Counter[str]]:
    """False alarms at warning and above, of runs that nothing is wrong with."""
    codes: Counter[str] = Counter()
    points = count = alarmed = 0
    for run in runs:
        told = replay(run, rulebook, seconds)
        wrong = [
            change.finding.code
            for _, change in told.changes
            if change.kind == "raised"
            and change.finding.severity != "info"
            and change.finding.symptom not in run.quiet
        ]
        codes.update(wrong)
        alarmed += bool(wrong)
        count += 1
        points += sum("loss" in row for row in run.rows)
    total = sum(codes.values())
    rate = 1000 * total / points if points else float("nan")
    return f"{count} | {points:,} | {total} | {alarmed} | {rate:.3f}", codes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", default="1000:1010")
    parser.add_argument("--seconds", type=float, default=0.0, help="between two rows")
    parser.add_argument("--logs", type=int, default=1, help="every so manieth real log")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    seeds = range(*map(int, args.seeds.split(":")))
    rulebook = load_rules()
    head = [
        "| fault | runs | in time | apart | median | 80% | worst | not told | goal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines = [
        "# Live advice: delays and false alarms",
        "",
        f"Made by `python -m benchmarks.live.delays --seeds {args.seeds} --write`.",
        "",
        f"Seeds {args.seeds}, {args.seconds:g} s between rows. Delays count logged points from "
        "the onset on, evaluations for `overfit`. The onset is the first point at which the "
        "clean curve shows the fault: for a rate too high 5% and two noises above its minimum, "
        "for overfitting 3% and two noises, for a plateau when 95% of the fall is over. `apart`: "
        "for a rate, told before the loss is 1.5 times its minimum; for a spike, how many of those "
        "that exceed the limits of LR011 at their own point were told there.",
        "",
        "## Generated runs",
        "",
        *head,
    ]
    for group in KINDS:
        lines.append(delays(group, generated(group, seeds), rulebook, args.seconds, args.show))
        print(lines[-1], flush=True)
    held = [run for run in gallery() if run.onset is not None]
    if held:
        lines += ["", "## Gallery of real runs", "", *head]
        for group in KINDS:
            mine = [run for run in held if run.group == group]
            lines.append(delays(group, mine, rulebook, args.seconds, args.show))
            print(lines[-1], flush=True)
    lines += [
        "",
        "## False alarms at warning and above (goal: under 0.1 a thousand points)",
        "",
        "| runs | count | points | alarms | runs alarmed | alarms a thousand points |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    quiet = [run for run in gallery() if run.group == "healthy"]
    logs = [run for label, run in real_logs() if not label["must"]][:: max(1, args.logs)]
    for name, runs in (
        ("generated, healthy and traps", healthy(seeds)), ("gallery, healthy", quiet),
        ("real logs without a fault", logs),
    ):  # fmt: skip
        row, codes = alarms(runs, rulebook, args.seconds)
        said = ", ".join(f"{code} {n}" for code, n in codes.most_common(8))
        lines.append(f"| {name} | {row} |")
        lines.append(f"| by code: {said or 'none'} | | | | | |")
        print(lines[-2], codes, flush=True)
    print("\n".join(lines))
    if args.write:
        RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
