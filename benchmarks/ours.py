"""Ask `advise` in process, as the command does: read, attach the config, diagnose."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.generated.generator import Case
from benchmarks.scoring import Answer

if TYPE_CHECKING:
    from advisor.rulebook.rule import Rulebook
    from advisor.run import Run

CANONICAL = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/lr",
    "eval_loss": "eval/loss",
    "reward": "train/reward",
    "kl": "train/kl",
    "step_time": "train/step_time",
    "data_time": "train/data_time",
    "tokens_per_second": "train/tokens_per_second",
    "rewards/margins": "train/rewards/margins",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Our answer to one log: (symptom, severity) pairs, and the codes for a look at misses."""

    found: list[Answer]
    codes: list[str]
    unread: bool
    seconds: float


@cache
def _rules() -> Rulebook:
    from advisor.rulebook.load import load_rules

    return load_rules()


def _judge(runs: Sequence[Run], began: float) -> Asked:
    from advisor.diagnosis import diagnose

    findings = [f for run in runs for f in diagnose(run, _rules()).findings]
    found = [(frozenset({f.symptom}), f.severity) for f in findings]
    codes = [f"{f.code}:{f.symptom}" for f in findings if f.severity != "info"]
    return Asked(found, codes, not runs, time.process_time() - began)


def answers(path: Path) -> Asked:
    """Judge a log file or folder as the command line would."""
    from advisor.config.attach import attach_config
    from advisor.errors import AdvisorError
    from advisor.readers.discover import read_runs

    began = time.process_time()
    try:
        runs = [attach_config(run, Path(run.path), {}) for run in read_runs(path)]
    except AdvisorError:
        runs = []
    return _judge(runs, began)


def run_of(case: Case) -> Run:
    """The Run of a generated case, without a file between: for quick looks while tuning."""
    from advisor.run import Event, Run, Series

    columns: dict[str, list[tuple[int, float, float]]] = {}
    for row in case.rows:
        for name, value in row.items():
            if name in CANONICAL:
                point = (int(row["step"]), float(value), float(row["epoch"]))
                columns.setdefault(CANONICAL[name], []).append(point)
    series = {}
    for name, points in columns.items():
        steps, values, epochs = (np.array(column) for column in zip(*points, strict=True))
        series[name] = Series(name, steps.astype(np.int64), values, epochs)
    events = (Event("oom", case.console.splitlines()[-1]),) if case.console else ()
    facts = {} if case.console else {"max_steps": int(case.rows[-1]["step"])}
    return Run(case.name, "transformers", series, events=events, facts=facts)


def judge_runs(runs: Sequence[Run]) -> Asked:
    """Judge runs that were never written."""
    return _judge(runs, time.process_time())


def answers_of_case(case: Case) -> Asked:
    """Judge a generated run that was never written."""
    began = time.process_time()
    return _judge([run_of(case)], began)
