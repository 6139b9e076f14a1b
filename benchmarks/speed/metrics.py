"""What the metric stream costs a step: records built, written and flushed, by kind of sink.

    python -m benchmarks.speed.metrics [--steps 2000] [--only tiny] [--write]

Measures CPU seconds, for other work may share the machine. Prints a table; --write puts it into
benchmarks/results/metrics_overhead.md.
"""

from __future__ import annotations

import argparse
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.places import PRESETS, RESULTS
from train.clock import HostClock
from train.config.types import TrackingConfig
from train.metrics.files import JsonLines
from train.metrics.records import EventRecord
from train.metrics.sinks import Console, Fan, Sink
from train.metrics.trackers import About, open_trackers
from train.reporting import Reporter, Timing
from train.schedule import plan_schedule
from train.seeds import seed_step
from train.step import StepResult

STEPS, REPEATS = 2000, 5
RESULT = StepResult(
    loss=1.234567, grad_norm=0.98765, clipped=False, applied=True, tokens=4096, supervised=2048,
    rows=8, samples=8,
)  # fmt: skip
TIMING = Timing(0.5, {"data": 0.01, "forward": 0.15, "backward": 0.3, "optimizer": 0.04})
BASE = PRESETS / "base"
OUT = RESULTS / "metrics_overhead.md"
MADE = "Made by `python -m benchmarks.speed.metrics --write`."


class Nothing:
    """A sink that drops everything: what is left is the making of the record."""

    def write(self, record: object) -> None: ...

    def close(self, status: str) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", default="", help="models whose name begins so")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    global STEPS
    STEPS = args.steps
    sinks: dict[str, Callable[[Path], Sink]] = {
        "record only": lambda place: Nothing(),
        "JSONL, flushed each step": lambda place: JsonLines(place),
        "console line": lambda place: Console(io.StringIO()),
        "JSONL and console (the default)": lambda place: Fan(
            [JsonLines(place), Console(io.StringIO())]
        ),
        "TensorBoard": lambda place: Fan(
            open_trackers(TrackingConfig(tensorboard={}), About(place, {}))
        ),
    }
    rows = [(name, _per_step(make)) for name, make in sinks.items()]
    rows += [("phase marks of the clock", _clock()), ("seeding the step", _seeding())]
    lines = ["| part | us a step | of a step of 500 ms |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {us:.0f} | {us / 5e5:.4%} |" for name, us in rows]
    table = "\n".join(lines)
    advice = "\n".join(_advice(args.only))
    print(table, advice, sep="\n\n")
    if args.write:
        OUT.write_text(
            f"# Cost of the metric stream\n\n{MADE}\n\n{table}\n\n{NOTE}\n"
            f"## Cost of the advisor\n\n{advice}\n\n{ADVICE_NOTE}"
        )


NOTE = """\
On a GPU the stream adds no synchronisation: the loss and the gradient norm are read together, once
a step, because the update must know whether they are finite; phase times are events in the
device's queue that are only looked at once they have passed.
"""


ADVICE_NOTE = """\
Mean and median CPU time in the advisor for each logged step, looks at the whole run included, over
the CPU time of a real step of that model (LoRA, 16 rows, one thread). The advisor reads the same
numbers that the log gets, and touches no device.
"""


def _advice(only: str) -> list[str]:
    lines = [
        "| model | CPU ms a step | advisor, us a step | median us | share of the step |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory() as place:
        for name, words in _models(Path(place)):
            if not name.startswith(only):
                continue
            seconds = _step_seconds(Path(place), words)
            spent = _advised(seconds)
            mean, middle = statistics.fmean(spent), statistics.median(spent)
            lines.append(
                f"| {name} | {1e3 * seconds:.0f} | {1e6 * mean:.0f} | {1e6 * middle:.0f} "
                f"| {mean / seconds:.3%} |"
            )
    return lines


def _models(place: Path) -> list[tuple[str, list[str]]]:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    larger = place / "larger"
    config = LlamaConfig(
        vocab_size=1024, hidden_size=576, intermediate_size=1536, num_hidden_layers=12,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=512,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(larger)
    AutoTokenizer.from_pretrained(BASE).save_pretrained(larger)
    flag = "--model.pretrained_model_name_or_path"
    return [
        ("tiny base model, 2 M weights", [flag, str(BASE)]),
        ("a Llama of 44 M weights", [flag, str(larger)]),
    ]


def _step_seconds(place: Path, words: list[str]) -> float:
    """CPU seconds of a step: of a run of several less those of a run of few."""
    from train.config.load import load_config
    from train.sft import run

    data = ["--dataset.path_or_dataset_id", str(PRESETS / "instructions.jsonl")]
    data += ["--validation_dataset", "null", "--checkpoint.enabled", "false", "--advisor", "off"]
    spent = []
    few, several = 3, 13
    for steps in (few, several):
        every = ["--step_scheduler.max_steps", str(steps)]
        loaded = load_config(BASE / "demo.yaml", [*words, *data, *every], {})
        with tempfile.TemporaryDirectory(dir=place) as folder, redirect_stdout(io.StringIO()):
            began = time.process_time()
            run(loaded, Path(folder))
            spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / (several - few)


def _advised(step_seconds: float) -> list[float]:
    """CPU seconds in the advisor for each step of a healthy run whose steps take so long."""
    from advisor.monitor import Monitor
    from train.advice.sink import AdvisorSink

    now = [0.0]
    facts = {"max_steps": STEPS}
    config = {"optimizer.lr": 1e-4, "method": "lora"}
    sink = AdvisorSink(Nothing(), lambda: Monitor(config, facts=facts, clock=lambda: now[0]))
    schedule = plan_schedule(None, 1e-4, STEPS)
    report = Reporter(sink=sink, schedule=schedule, device=torch.device("cpu"))
    alone = Reporter(sink=Nothing(), schedule=schedule, device=torch.device("cpu"))
    chance, spent = random.Random(0), []
    for step in range(STEPS):
        loss = 1.5 + 2.0 / (1 + step / 50) + chance.gauss(0, 0.08)
        result = replace(RESULT, loss=loss, grad_norm=chance.lognormvariate(0, 0.2))
        began = time.process_time()
        alone.step(step, 0, result, TIMING)
        middle = time.process_time()
        report.step(step, 0, result, TIMING)
        took = time.process_time() - middle
        spent.append(took - (middle - began))
        now[0] += step_seconds + took  # the Monitor looks as often as this clock allows
    return spent


def _per_step(make: Callable[[Path], Sink]) -> float:
    schedule = plan_schedule(None, 1e-4, STEPS)
    times = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as place:
            sink = make(Path(place))
            report = Reporter(sink=sink, schedule=schedule, device=torch.device("cpu"))
            began = time.process_time()
            for step in range(STEPS):
                report.step(step, 0, RESULT, TIMING)
            times.append((time.process_time() - began) / STEPS)
            sink.write(EventRecord(kind="end", text="", timestamp=0.0, step=0))
            sink.close("finished")
    return 1e6 * statistics.median(times)


def _clock() -> float:
    clock = HostClock()
    began = time.process_time()
    for _ in range(STEPS):
        clock.start()
        for phase in ("data", *["forward", "backward"] * 8, "optimizer"):
            clock.mark(phase)
        clock.take()
    return 1e6 * (time.process_time() - began) / STEPS


def _seeding() -> float:
    began = time.process_time()
    for step in range(STEPS):
        seed_step(42, step)
    return 1e6 * (time.process_time() - began) / STEPS


if __name__ == "__main__":
    main()
