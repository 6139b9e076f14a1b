"""A whole `advise tune` for real, from a rate of a hundredth; smollm2 needs ../shared/data.

    python -m benchmarks.real.tune [smollm2 | base] [--runs 4] [--tokens 8000]

`smollm2` is SmolLM2-135M-Instruct (see benchmarks.real.finetune), which learns short
instructions by LoRA, 20 steps a run on one thread; `base` is the tiny model of presets/base. Ended
and started again, the session goes on. Prints the outcome and writes it to
benchmarks/results/tuning_real.md, a section a model.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.places import CACHE, RESULTS, SHARED_DATA, environment
from benchmarks.real.finetune import Task, base, fetch_smollm2, tree

MADE = CACHE / "tuning"
RESULT = RESULTS / "tuning_real.md"
MADE_BY = "Made by `python -m benchmarks.real.tune MODEL --write`, a section a model."
TITLE = f"# A whole `advise tune`, for real\n\n{MADE_BY}"
STEPS = {"smollm2": 20, "base": 60}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2", choices=list(STEPS))
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=8000, help="bounds the probes; 0: no bound")
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--steps", type=int, help="of a run; another session than the quoted one")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    asked = parser.parse_args()
    name = f"real-{asked.model}" + (f"-{asked.steps}" if asked.steps else "")
    folder = MADE / name
    task = smollm2(asked.data) if asked.model == "smollm2" else tiny()
    limits = ["--runs", str(asked.runs)]
    limits += ["--tokens", str(asked.tokens)] if asked.model == "smollm2" and asked.tokens else []
    done = session(folder, task, asked.steps or STEPS[asked.model], limits)
    if done.returncode:
        return done.returncode
    said = json.loads(done.stdout)
    text = section(asked.model, task, said, cpu_seconds(folder))
    print(text)
    if asked.write:
        write(asked.model, text)
    return 0


def smollm2(data: Path) -> Task:
    """Rows of a line or two: twenty steps of four take a few minutes on one thread."""
    return Task(
        model=fetch_smollm2(),
        train=data / "llms_from_scratch_instruct.jsonl",
        validation=data / "llms_from_scratch_instruct.val.jsonl",
        columns={"context": "input", "question": "instruction", "answer": "output"},
        rows=300,
        held_out=64,
        options={"optimizer.lr": 2e-6, "step_scheduler.global_batch_size": 4,
                 "step_scheduler.local_batch_size": 4, "step_scheduler.ckpt_every_steps": 5,
                 "dataset.seq_length": 128},
    )  # fmt: skip


def tiny() -> Task:
    task = base()
    sizes = {"step_scheduler.global_batch_size": 16, "step_scheduler.local_batch_size": 16}
    return Task(**{**{n: getattr(task, n) for n in Task.__dataclass_fields__},
                   "options": {"optimizer.lr": 4e-5, **sizes}})  # fmt: skip


def session(
    folder: Path, task: Task, steps: int, limits: list[str]
) -> subprocess.CompletedProcess[str]:
    """Begin or go on with the session; note what it and its runs took of the processors."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "start.json"
    place = folder / "session"
    if not (place / "ledger.sqlite").is_file():
        found = tree(task, folder / "unused", steps)
        config.write_text(json.dumps(found, indent=1))
        words = [str(config)]
    else:
        words = ["--resume"]
    line = [sys.executable, "-m", "advisor", "tune", *words, "--session", str(place),
            *limits, "--keep", "best", "--json"]  # fmt: skip
    env = environment(HF_HUB_OFFLINE="1")
    try:
        return subprocess.run(line, env=env, text=True, stdout=subprocess.PIPE)
    finally:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with (folder / "cpu.txt").open("a") as file:
            file.write(f"{used.ru_utime + used.ru_stime:.1f}\n")


def cpu_seconds(folder: Path) -> float:
    return sum(map(float, (folder / "cpu.txt").read_text().split()))


def section(model: str, task: Task, said: dict[str, Any], cpu: float) -> str:
    """Return what a session came to."""
    outcome, runs = said["outcome"], said["runs"]
    lines = [f"## {model} on {task.train.name}", "",
             f"The start: a rate of {task.options['optimizer.lr']:g}. Best: run {outcome['best']};"
             f" {outcome['why']}. It stopped: {outcome['stopped']}.", "",
             f"| | loss on {outcome['samples']} rows of the test half (95%) |",
             "| --- | --- |"]  # fmt: skip
    for name in ("start_loss", "best_loss", "gain"):
        lines.append(f"| {name.replace('_', ' ')} | {within(outcome[name])} |")
    probes = sum(run["kind"] == "probe" for run in runs)
    lines += ["", f"{len(runs) - probes} whole runs and {probes} probes, {said['tokens']:,} tokens,"
              f" {cpu:.0f} s of processor time in all.", "",
              "| run | kind | changes of the start | validation loss | status | verdict | tokens |",
              "| ---: | --- | --- | ---: | --- | --- | ---: |"]  # fmt: skip
    for run in runs:
        what = ", ".join(f"{c['key']} {plain(c['from'])} -> {plain(c['to'])}"
                         for c in run["changes"])  # fmt: skip
        loss = "" if run.get("best_val") is None else f"{run['best_val']:.4f}"
        said = run.get("status", ""), run["verdict"], f"{run.get('tokens', 0):,}"
        cells = str(run["number"]), run["kind"], what or "none", loss, *said
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def within(interval: dict[str, float] | None) -> str:
    if interval is None:
        return "none: the start is kept"
    return f"{interval['value']:.4f} ({interval['low']:.4f} to {interval['high']:.4f})"


def plain(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write(model: str, text: str) -> None:
    """Put a model's section into the results, beside those of other models."""
    old = RESULT.read_text() if RESULT.is_file() else TITLE
    others = [part for part in re.split(r"(?m)^(?=## )", old)[1:]
              if not part.startswith(f"## {model} ")]  # fmt: skip
    parts = sorted([*(part.strip() for part in others), text.strip()])
    RESULT.write_text("\n\n".join([TITLE.strip(), *parts]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
