"""Side by side with six existing tools, on generated runs and on ../shared/logs where it is.

python -m benchmarks.peers.compare [--seeds 1000:1010] [--only TOOL ...] [--fresh]

Each peer is installed from the package index into an environment of its own below
benchmarks/cache/ (git-ignored); answers are kept there as JSON lines, so a second call goes on
where the first stopped. Ours is judged anew each time. Writes benchmarks/results/peers.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generated.generator import KINDS, label_file, make, seeds_of, write
from benchmarks.peers.names import meaning
from benchmarks.places import CACHE, RESULTS, SHARED_LOGS
from benchmarks.scoring import (
    Answer,
    Label,
    Tally,
    by_kind,
    f1,
    generated_labels,
    judge,
    macro_recall,
    real_labels,
    total,
)

PEERS = ("losslint", "runmedic", "ftdoctor", "trainspotter", "trainproof", "gradsnitch")
EXTRAS = {"losslint": ["tensorboard"], "trainspotter": ["tensorboard"]}
SOURCES = ("trainer_state.json", "metrics.jsonl", "train.log")


@dataclass(frozen=True, slots=True)
class Answers:
    """What one tool said of a set of runs."""

    found: Mapping[str, list[Answer]]
    unread: int
    seconds: float  # median CPU seconds a run


def environment(tool: str) -> Path | None:
    """The interpreter of the peer's environment, installed on the first call."""
    folder = CACHE / f"venv-{tool}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists() and python.exists():
        return python
    venv.create(folder, with_pip=True, symlinks=True, clear=True)
    command = [str(python), "-m", "pip", "install", "-q", tool, *EXTRAS.get(tool, [])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if result.returncode:
        print(f"{tool}: not installed: {result.stderr.strip().splitlines()[-1:]}")
        return None
    done.touch()
    return python


def version(tool: str) -> str:
    python = CACHE / f"venv-{tool}" / "bin" / "python"
    code = f"import importlib.metadata as m; print(m.version({tool!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def source(folder: Path) -> Path:
    return next(folder / name for name in SOURCES if (folder / name).exists())


def generate(seeds: range) -> tuple[Path, dict[str, Path]]:
    """Write the generated runs once; returns the folder and the log of each run."""
    root = CACHE / f"generated-{seeds.start}-{seeds.stop}"
    cases = [make(kind, seed) for kind in KINDS for seed in seeds]
    for case in cases:
        write(case, root)
    root.mkdir(exist_ok=True, parents=True)
    (root / "labels.json").write_text(json.dumps(label_file(cases)))
    return root, {f"{c.name}.s{c.seed}": source(root / f"{c.name}.s{c.seed}") for c in cases}


def ask(tool: str, dataset: str, runs: Mapping[str, Path], fresh: bool) -> Answers | None:
    """Run one peer over what it has not answered yet."""
    python = environment(tool)
    if python is None:
        return None
    out = CACHE / f"answers-{dataset}-{tool}.jsonl"
    if fresh:
        out.unlink(missing_ok=True)
    known = (
        {json.loads(line)["run"] for line in out.read_text().splitlines()}
        if out.exists()
        else set()
    )
    todo = [f"{name}\t{path}" for name, path in runs.items() if name not in known]
    if todo:
        listing = CACHE / f"list-{dataset}-{tool}.txt"
        listing.write_text("\n".join(todo) + "\n")
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [
            str(python),
            "-W",
            "ignore",
            str(Path(__file__).with_name("worker.py")),
            tool,
            str(listing),
            str(out),
        ]
        subprocess.run(command, env=env, cwd=CACHE, check=False, timeout=900, capture_output=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    rows = [row for row in rows if row["run"] in runs]
    found = {
        row["run"]: [(meaning(tool, name), severity) for name, severity in row["found"]]
        for row in rows
    }
    times = sorted(row["seconds"] for row in rows)
    return Answers(found, sum(bool(row["error"]) for row in rows), times[len(times) // 2])


def ask_ours(runs: Mapping[str, Path]) -> Answers:
    from benchmarks.ours import answers

    found, unread, seconds = {}, 0, []
    for name, path in runs.items():
        result = answers(path)
        found[name] = result.found
        unread += result.unread
        seconds.append(result.seconds)
    return Answers(found, unread, sorted(seconds)[len(seconds) // 2])


def tallies(labels: Mapping[str, Label], answers: Answers, info: bool) -> dict[str, Tally]:
    return {
        run: judge(run, label, answers.found.get(run, []), info) for run, label in labels.items()
    }


def generated_row(tool: str, labels: Mapping[str, Label], answers: Answers) -> str:
    cells = []
    for info in (False, True):
        each = tallies(labels, answers, info)
        recall = macro_recall(by_kind(labels, each).values())
        healthy = total(t for run, t in each.items() if labels[run].healthy)
        everything = total(each.values())
        cells += [
            f"{recall:.3f}",
            f"{healthy.alarmed}/{healthy.quiet} ({healthy.alarm_rate:.1%})",
            f"{everything.precision:.3f}",
            f"{f1(recall, everything.precision):.3f}",
        ]
    return (
        f"| {tool} | " + " | ".join(cells) + f" | {answers.unread} | {answers.seconds * 1000:.1f} |"
    )


def real_row(tool: str, labels: Mapping[str, Label], answers: Answers) -> str:
    t = total(tallies(labels, answers, info=False).values())
    return (
        f"| {tool} | {t.recall:.2f} ({t.hit}/{t.demanded}) | {t.precision:.2f} "
        f"({t.right}/{t.right + t.wrong}) | {t.alarmed}/{t.quiet} | {answers.unread} |"
    )


def kind_table(labels: Mapping[str, Label], everyone: Mapping[str, Answers]) -> list[str]:
    """Share found of each fault kind, and share alarmed of each healthy kind."""
    tools = list(everyone)
    lines = ["| kind | " + " | ".join(tools) + " |", "| --- |" + " --- |" * len(tools)]
    kinds = {t: by_kind(labels, tallies(labels, a, False)) for t, a in everyone.items()}
    for kind in KINDS:
        sample = kinds[tools[0]][kind]
        if sample.demanded:
            cells = [f"{kinds[t][kind].hit}/{kinds[t][kind].demanded}" for t in tools]
        elif any(label.healthy for label in labels.values() if label.kind == kind):
            cells = [f"{kinds[t][kind].alarmed} of {kinds[t][kind].quiet} alarmed" for t in tools]
        else:
            continue
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return lines


def report(sets: list[tuple[str, Mapping[str, Label], Mapping[str, Answers]]], seeds: range) -> str:
    versions = ", ".join(
        f"{t} {version(t)}" for t in PEERS if (CACHE / f"venv-{t}" / "installed").exists()
    )
    lines = [
        "# Beside six existing tools",
        "",
        f"Made by `python -m benchmarks.peers.compare --seeds {seeds.start}:{seeds.stop}`. "
        f"{versions}.",
        "How names were matched: names.py and the README. Macro recall is the mean over the",
        "fault kinds of the share found; healthy is the share of healthy runs and traps with a",
        "wrong warning. A tool's `info` remarks count only in the columns `any`.",
        "",
    ]
    for name, labels, everyone in sets:
        if name == "real":
            lines += [
                "## Labelled real logs",
                "",
                "| tool | recall | precision | alarmed without a must | unread |",
                "| --- | --- | --- | --- | --- |",
            ]
            lines += [real_row(tool, labels, a) for tool, a in everyone.items()]
        else:
            lines += [
                "## Generated runs",
                "",
                (
                    "| tool | macro recall | healthy alarmed | precision | F1 | recall, any "
                    "| healthy, any | precision, any | F1, any | unread | ms CPU a run |"
                ),
                "| --- |" + " --- |" * 10,
            ]
            lines += [generated_row(tool, labels, a) for tool, a in everyone.items()]
            lines += ["", "### By kind (warnings and above)", "", *kind_table(labels, everyone)]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", default="1000:1010")
    parser.add_argument("--only", nargs="*", default=[*PEERS, "ours"])
    parser.add_argument("--fresh", action="store_true", help="ask again what is already answered")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    split = "quoted" if int(args.seeds.split(":")[0]) >= 1000 else "tune"
    seeds = seeds_of(args.seeds, split)
    root, runs = generate(seeds)
    data = [(f"generated-{seeds.start}-{seeds.stop}", generated_labels(root), runs)]
    if (SHARED_LOGS / "labels.jsonl").exists():
        labels = real_labels(SHARED_LOGS)
        data.append(("real", labels, {name: SHARED_LOGS / name for name in labels}))
    sets = []
    for name, labels, paths in data:
        everyone: dict[str, Answers] = {}
        for tool in args.only:
            answers = ask_ours(paths) if tool == "ours" else ask(tool, name, paths, args.fresh)
            if answers is not None:
                everyone[tool] = answers
                print(name, tool, "unread", answers.unread, flush=True)
        sets.append((name, labels, everyone))
    text = report(sets, seeds)
    if args.write:
        (RESULTS / "peers.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
