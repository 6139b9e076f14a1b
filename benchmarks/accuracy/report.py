"""How right the advisor is, in one command; takes ../shared/logs too where it is.

python -m benchmarks.accuracy.report [--quick] [--seeds A:B] [--no-peers] [--tune]
    [--only SOURCE ...]

Writes docs/accuracy.md and the data behind it. Generated runs of held-out seeds, the gallery of
real runs (tune and held apart) and the labelled real logs, where they are at hand. Answers are kept
by content below benchmarks/cache/accuracy. --quick (few seeds), --tune (the halves that may be
looked at) and --only print, without peers, and write nothing.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.accuracy import runs as runs_of
from benchmarks.accuracy.answers import Answer, ask_ours, ask_peer
from benchmarks.accuracy.figures import figures
from benchmarks.accuracy.page import page
from benchmarks.accuracy.peer_logs import log_for_peers
from benchmarks.accuracy.runs import Labelled
from benchmarks.accuracy.scores import (
    Pair,
    cause_hit,
    has_cause,
    has_cure,
    is_alarmed,
    loud,
    near,
    plan_is_right,
    ranked_causes,
)
from benchmarks.generated.generator import seeds_of
from benchmarks.peers.compare import PEERS
from benchmarks.places import RESULTS, ROOT

DATA = RESULTS / "accuracy.json"
PAGE = ROOT / "docs" / "accuracy.md"
Sets = dict[str, list[Pair]]


def gather(seeds: range) -> list[Labelled]:
    """All labelled runs at hand."""
    return [*runs_of.generated(seeds), *runs_of.gallery(), *runs_of.real()]


def sets_of(pairs: list[Pair]) -> Sets:
    """The sets that figures are told apart by."""
    sets: Sets = {
        "generated": [], "gallery tune": [], "gallery held": [], "emulated": [], "real logs": []
    }  # fmt: skip
    for run, answer in pairs:
        name = {
            "generated": "generated",
            "emulated": "emulated",
            "real": "real logs",
            "trained": f"gallery {run.split}",
        }[run.source]
        sets[name].append((run, answer))
    return {name: found for name, found in sets.items() if found}


def ask_peers(runs: list[Labelled]) -> dict[str, Sets]:
    logs = {run.id: log for run in runs if (log := log_for_peers(run)) is not None}
    found = {}
    for tool in PEERS:
        answers = ask_peer(tool, runs, logs)
        if answers:
            found[tool] = sets_of([(run, answers.get(run.id, Answer())) for run in runs])
            print(tool, "answered", flush=True)
    return found


def show(pairs: list[Pair]) -> None:
    """Print each miss, each false alarm, and each wrong cause or plan."""
    for run, answer in pairs:
        said = {name for s in loud(answer) for name in s.symptoms}
        missed = [entry for entry in run.must if not near(said) & near(entry)]
        if missed or is_alarmed(run, answer):
            what = "MISSED" if missed else "FALSE"
            codes = [f"{s.code}:{'|'.join(s.symptoms)}" for s in loud(answer)]
            print(what, run.source, run.split, run.id, "must", missed, "said", codes)
        if has_cause(run) and not cause_hit(run, answer, 1):
            print("CAUSE", run.split, run.id, run.causes, "said", ranked_causes(answer)[:4])
        if has_cure(run) and not plan_is_right(run, answer):
            moves = [f"{m.key} {m.direction}{' later' * m.later}" for m in answer.moves]
            print("PLAN", run.split, run.id, [f"{c.key} {c.direction}" for c in run.cures], moves)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="1000:1020")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--tune", action="store_true", help="look at seeds 0:10 and split tune")
    parser.add_argument("--only", nargs="*", default=[], help="generated trained emulated real")
    parser.add_argument("--show", action="store_true", help="print each miss and false alarm")
    args = parser.parse_args()
    seeds = seeds_of("1000:1003" if args.quick else args.seeds, "quoted")
    if args.tune:
        seeds = range(10)
    runs = [run for run in gather(seeds) if not args.only or run.source in args.only]
    if args.tune:
        runs = [run for run in runs if run.split == "tune"]
    answers = ask_ours(runs)
    pairs = [(run, answers[run.id]) for run in runs]
    if args.show:
        show(pairs)
    whole = not (args.quick or args.tune or args.only)
    peers = ask_peers(runs) if whole and not args.no_peers else {}
    data = figures(sets_of(pairs), peers, whole)
    data["seeds"] = f"{seeds.start}:{seeds.stop}"
    data.update(measured_elsewhere())
    text = page(data)
    if not whole:
        print(text)
        return
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    PAGE.write_text(page(json.loads(DATA.read_text())))
    print(f"{PAGE.relative_to(ROOT)} and {DATA.relative_to(ROOT)} written")


def measured_elsewhere() -> dict[str, Any]:
    """What tools.calibrate and live.delays have written, where they have."""
    found: dict[str, Any] = {}
    calibration = DATA.with_name("calibration.json")
    if calibration.exists():
        found["calibration"] = json.loads(calibration.read_text())
    live = DATA.with_name("live.md")
    if live.exists():
        _, heading, rest = live.read_text().partition("## ")
        found["live"] = [
            line.replace("## ", "### Live: ", 1) if line.startswith("## ") else line
            for line in f"{heading}{rest}".rstrip().splitlines()
        ]
    return found


if __name__ == "__main__":
    main()
