"""What was logged: Run, Series, Event. Frozen data, with look-ups only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One metric over steps.

    ``steps`` (int64, strictly increasing) and ``values`` (float64, may hold NaN and inf) have shape
    ``(n,)``, as do ``epochs`` and ``times`` (seconds since the epoch) unless they are None. The
    last value of a repeated step wins; ``dropped`` counts the others.
    """

    name: str  # canonical: 'train/loss', 'eval/loss', 'train/grad_norm', 'train/lr', ...
    steps: IntArray
    values: FloatArray
    epochs: FloatArray | None = None
    times: FloatArray | None = None
    native: str = ""  # the name in the log
    dropped: int = 0

    def __len__(self) -> int:
        return int(self.values.shape[0])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: kind is one of exception, oom, stop (a process ended by a signal, a
    scheduler, its launcher or a person), resume, checkpoint, overflow_skip, warning.

    ``final`` marks the last words of a log, after which no training follows.
    """

    kind: str
    text: str
    step: int | None = None
    line: int | None = None
    final: bool = False


Scalar = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Config:
    """What the run was trained with, under canonical keys ('optimizer.lr', 'peft.dim', ...).

    Beside the guide's keys there are ``method`` (full, lora, dora, qlora) and ``data.samples``.
    ``origin`` holds the source of each key's value: a file name, 'log', '--set'. ``path`` is the
    file that edits are written to, in the language ``dialect``.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    dialect: str = ""  # '' when no config was found
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: its Series, its Config, its Events, and its source."""

    path: str
    format: str  # transformers, jsonl, llamafactory, csv, tensorboard, console, ...
    series: Mapping[str, Series]
    id: str = ""  # distinguishes the runs of one file
    config: Config = field(default_factory=Config)
    events: tuple[Event, ...] = ()
    notes: tuple[str, ...] = ()  # corrections made in reading: repeated steps, dropped lines
    # Facts in the log beside metrics: max_steps, num_train_epochs, steps_per_epoch,
    # best_step, best_checkpoint, checkpoints ({step: name}), objective
    # ('sft' | 'rl' | 'dpo' | 'orpo' | 'kto' | 'reward').
    facts: Mapping[str, object] = field(default_factory=dict)
