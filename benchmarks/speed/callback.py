"""What the callback costs a training step of transformers' Trainer.

python -m benchmarks.speed.callback [--steps 150] [--only tiny] [--write]

Real trainings that log at every step, the most that a callback can be asked for: of the tiny base
model and of a larger Llama with random weights. Each call into the callback is timed, and each
step; the first and last calls (config, rules, report) are counted apart. Needs
`finetune-advisor[train]`. --write puts it into benchmarks/results/callback_overhead.md.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from advisor.integrations.transformers import AdvisorCallback
from benchmarks.places import PRESETS, RESULTS

RESULT = RESULTS / "callback_overhead.md"
CALLS = ("on_step_begin", "on_step_end", "on_log", "on_epoch_end", "on_save")
GOAL = 0.001
NOTE = (
    "The looks make the mean: they come close together at the beginning of a run and ever more",
    "rarely later, so that a run of so few steps shows the most that they cost.",
)


class Timed(AdvisorCallback):
    """The callback, with the seconds that each step spends in it."""

    def __init__(self) -> None:
        super().__init__(say=lambda line: None)
        self.steps: list[float] = []  # when each began
        self.spent: list[float] = []
        self.around = 0.0
        for name in CALLS:
            setattr(self, name, self._timed(getattr(self, name)))
        for name in ("on_train_begin", "on_train_end"):
            setattr(self, name, self._timed(getattr(self, name), around=True))

    def _timed(self, call: Any, around: bool = False) -> Any:
        def timed(*args: Any, **more: Any) -> None:
            begun = time.perf_counter()
            call(*args, **more)
            seconds = time.perf_counter() - begun
            if around:
                self.around += seconds
            elif self.spent:
                self.spent[-1] += seconds

        return timed


class Clock(TrainerCallback):
    """Says when each step begins; stands before the callback that is timed."""

    def __init__(self, timed: Timed) -> None:
        self._timed = timed

    def on_step_begin(self, *args: Any, **more: Any) -> None:
        self._timed.steps.append(time.perf_counter())
        self._timed.spent.append(0.0)


class Tokens(Dataset[dict[str, torch.Tensor]]):
    """Random tokens of one length."""

    def __init__(self, count: int, length: int, words: int) -> None:
        maker = torch.Generator().manual_seed(0)
        self._rows = torch.randint(words, (count, length), generator=maker)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._rows[at], "labels": self._rows[at]}


def models() -> dict[str, tuple[torch.nn.Module, int]]:
    torch.manual_seed(0)
    base = PRESETS / "base"
    tiny = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    larger = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=8192, hidden_size=512, intermediate_size=1376, num_hidden_layers=6,
            num_attention_heads=8, num_key_value_heads=8,
        )
    )  # fmt: skip
    return {
        "tiny base model": (tiny, AutoConfig.from_pretrained(base).vocab_size),
        "random Llama": (larger, 8192),
    }


def measured(model: torch.nn.Module, words: int, steps: int) -> Timed:
    timed = Timed()
    with tempfile.TemporaryDirectory() as place:
        args = TrainingArguments(
            output_dir=place, max_steps=steps, per_device_train_batch_size=4, logging_steps=1,
            learning_rate=1e-4, report_to=[], use_cpu=True, disable_tqdm=True,
            save_strategy="no", seed=0,
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=args, train_dataset=Tokens(4 * steps, 128, words),
            callbacks=[Clock(timed), timed],
        )  # fmt: skip
        trainer.train()
    return timed


def row(name: str, model: torch.nn.Module, timed: Timed) -> str:
    step = np.diff(timed.steps)
    spent = np.array(timed.spent[:-1])
    size = sum(p.numel() for p in model.parameters())
    mean = spent.sum() / step.sum()
    met = "met" if mean < GOAL else "missed"
    return (
        f"| {name} | {size / 1e6:.1f} | {len(step)} | {1e3 * np.median(step):.1f}"
        f" | {1e6 * np.median(spent):.0f} | {1e6 * spent.mean():.0f}"
        f" | {np.median(spent) / np.median(step):.3%} | {mean:.3%} | {met}"
        f" | {1e3 * timed.around:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=150, help="of the tiny model; a third of it")
    parser.add_argument("--only", default="", help="models whose name begins so")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    lines = [
        "# What the callback costs",
        "",
        f"Made by `python -m benchmarks.speed.callback --steps {args.steps} --write`:",
        "transformers' Trainer on the CPU with one thread, batches of 4 sequences of 128 tokens,",
        f"logging at every step. Goal: under {GOAL:.1%} of a step in the mean, looks included.",
        "",
        "| model | million parameters | steps | step, median ms | callback, median us | mean us"
        " | share, medians | share, mean | goal | begin and end, ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, (model, words) in models().items():
        if not name.startswith(args.only):
            continue
        steps = args.steps if name.startswith("tiny") else max(20, args.steps // 3)
        lines.append(row(name, model, measured(model, words, steps)))
        print(lines[-1], flush=True)
    if args.write:
        RESULT.write_text("\n".join([*lines, "", *NOTE]) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
