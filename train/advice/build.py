"""Build the advisor of a run from its config."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from advisor.config.attach import find_config
from advisor.dialects.automodel import AUTOMODEL
from advisor.errors import AdvisorError
from advisor.monitor import Monitor
from advisor.monitor.command import OnFinding
from advisor.rulebook.load import load_rules
from advisor.run import Config
from train.advice.recovery import Recovery
from train.advice.replay import past_of
from train.advice.saved_states import SavedStates
from train.advice.sink import AdvisorSink, Runner
from train.config.advice import policy_of
from train.config.load import Loaded
from train.config.types import AdvisorConfig
from train.metrics.records import EventRecord
from train.metrics.sinks import Sink
from train.plan import StepPlan
from train.ranks.agreement import Ranks

_LEAST, _MOST, _PART = 5, 100, 20


def make_sink(loaded: Loaded, out: Sink, run_dir: Path) -> AdvisorSink | None:
    """Return the run's sinks, the advisor among them; None if it is off."""
    config = loaded.config.advisor
    if not config.on:
        return None

    def new_monitor() -> Monitor:
        rules = load_rules([Path(path) for path in config.rules])
        canonical = _canonical(loaded, run_dir)
        policy = policy_of(config)
        return Monitor(canonical, policy, rulebook=rules, path=str(run_dir), sink=notice)

    def notice(text: str) -> None:
        said = text.removeprefix("advise: ")
        out.write(EventRecord(kind="notice", text=said, timestamp=time.time()))

    return AdvisorSink(out, new_monitor, lambda step: past_of(run_dir, step), _runner(config, out))


def make_recovery(
    config: AdvisorConfig,
    sink: AdvisorSink | None,
    states: SavedStates | None,
    plan: StepPlan,
    ranks: Ranks,
) -> Recovery | None:
    """Return the Recovery that the loop asks after each step; None if the policy never acts."""
    if not config.on or config.policy == "warn":
        return None
    if config.policy != "act":
        return Recovery(sink, ranks=ranks)
    every = config.good_every_steps or min(_MOST, max(_LEAST, plan.total // _PART))
    return Recovery(sink, states, every, config.max_actions, ranks)


def _canonical(loaded: Loaded, run_dir: Path) -> Config:
    """Return the config as `advise check` would read it from the run's folder."""
    if (run_dir / "config.yaml").is_file():
        return find_config(run_dir / "training.jsonl")
    return Config(AUTOMODEL.read(loaded.tree), dialect=AUTOMODEL.NAME)


def _runner(config: AdvisorConfig, out: Sink) -> Runner | None:
    """Return the runner of the user's command; one that cannot run is only reported."""
    if config.on_finding is None:
        return None
    try:
        return OnFinding(config.on_finding, sink=_to_stderr)
    except AdvisorError as error:
        text = str(error).replace("--on-finding", "advisor.on_finding", 1)
        out.write(EventRecord(kind="notice", text=text, timestamp=time.time()))
        return None


def _to_stderr(text: str) -> None:
    line = text.replace("--on-finding", "advisor.on_finding", 1)
    print(line, file=sys.stderr, flush=True)
