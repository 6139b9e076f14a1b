"""Ask `advise` in process, as the command does: read, attach the config, diagnose."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
from advisor.diagnose import diagnose  # noqa: E402
from advisor.findings import Report  # noqa: E402
from advisor.rulebook import load_rules  # noqa: E402
from advisor.run import Event, Run, Series  # noqa: E402
from generator import Case  # noqa: E402
from scoring import Answer  # noqa: E402

CANONICAL = {
    "loss": "train/loss", "grad_norm": "train/grad_norm", "learning_rate": "train/lr",
    "eval_loss": "eval/loss", "reward": "train/reward", "kl": "train/kl",
    "step_time": "train/step_time", "data_time": "train/data_time",
    "tokens_per_second": "train/tokens_per_second", "rewards/margins": "train/rewards/margins",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Our answer to one log: (symptom, severity) pairs, and the codes for a look at misses."""

    found: list[Answer]
    codes: list[str]
    unread: bool
    seconds: float


rules = cache(load_rules)


def _answer(reports: list[Report], began: float, unread: bool = False) -> Asked:
    findings = [f for report in reports for f in report.findings]
    found = [(frozenset({f.symptom}), f.severity) for f in findings]
    codes = [f"{f.code}:{f.symptom}" for f in findings if f.severity != "info"]
    return Asked(found, codes, unread, time.process_time() - began)


def answers(path: Path) -> Asked:
    """Judge a log file or folder as the command line would."""
    from advisor.configs import attach_config
    from advisor.errors import AdvisorError
    from advisor.readers import read_runs

    began = time.process_time()
    try:
        runs = [attach_config(run, Path(run.path), {}) for run in read_runs(path)]
    except AdvisorError:
        return Asked([], [], True, time.process_time() - began)
    return _answer([diagnose(run, rules()) for run in runs], began, not runs)


def run_of(case: Case) -> Run:
    """The Run of a generated case, without a file between: for quick looks while tuning."""
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
    last = case.rows[-1]
    facts = {} if case.console else {"max_steps": int(last["step"])}
    return Run(path=case.name, format="transformers", series=series, events=events, facts=facts)


def answers_of_case(case: Case) -> Asked:
    began = time.process_time()
    return _answer([diagnose(run_of(case), rules())], began)
