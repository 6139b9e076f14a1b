"""The presets: they load, lie within the ranges, and hold validation rows apart."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from advisor.base.paths import data_dir
from advisor.config.attach import load_config as read_as_advisor
from advisor.config.attach import with_facts
from advisor.config.ranges import range_for
from advisor.diagnosis import diagnose
from advisor.rulebook.load import load_rules
from advisor.run import Run
from train.config.command import parse
from train.config.load import find_config, load_config, presets

FOLDER = data_dir("presets")
SAMPLES = {"small": 4000.0, "medium": 15_000.0, "large": 500_000.0}
GRID = {f"{method}-{size}" for method in ("sft", "lora", "qlora") for size in SAMPLES}
SCENARIOS = {"few-samples": 900, "instructions": 49_000, "function-calls": 60_000}
SCENARIOS |= {"one-small-gpu": 15_000}
# A rate sweep leaves the recommended range on purpose, and who takes sft-small wants all weights.
ON_PURPOSE = {"experiment-lr-sft": {"CFG001", "CFG002"}, "sft-small": {"CFG033"}}


def samples_of(name: str) -> float:
    kind, _, size = name.partition("-")
    return float(SCENARIOS[size] if kind == "scenario" else SAMPLES.get(size, 15_000.0))


def test_every_method_size_and_scenario_has_a_preset() -> None:
    assert set(presets()) == GRID | {f"scenario-{name}" for name in SCENARIOS} | {
        "experiment-lr-sft", "experiment-lr-lora",
    }  # fmt: skip


@pytest.mark.parametrize("name", presets())
def test_the_first_line_is_the_command_that_runs_it(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# advise train ")
    command = parse(shlex.split(first)[3:])
    assert command.config is not None
    assert find_config(command.config) == FOLDER / f"{name}.yaml"


@pytest.mark.parametrize("name", presets())
def test_a_preset_follows_the_house(name: str) -> None:
    loaded = load_config(Path(name), (), {})
    config = loaded.config
    assert not loaded.notices
    assert config.optimizer.name == "AdamW" and config.dataloader.shuffle and config.seed == 42
    assert config.validation_split and config.validation_dataset is None
    assert name.startswith(("scenario", "experiment", config.method.replace("full", "sft")))


@pytest.mark.parametrize("name", presets())
def test_the_rules_on_configs_find_nothing_in_a_preset(name: str) -> None:
    config = read_as_advisor(FOLDER / f"{name}.yaml")
    config = with_facts(config, {"data.samples": samples_of(name)})
    report = diagnose(replace(Run(path=name, format="automodel", series={}), config=config),
                      load_rules(), select=("CFG",))  # fmt: skip
    assert {found.code for found in report.findings} <= ON_PURPOSE.get(name, set())


@pytest.mark.parametrize("name", sorted(GRID))
def test_the_values_of_a_preset_lie_within_its_ranges(name: str) -> None:
    values = read_as_advisor(FOLDER / f"{name}.yaml").values
    judged = 0
    for key, value in values.items():
        bounds = range_for(key, str(values["method"]), samples_of(name))
        if bounds is None or not isinstance(value, int | float) or bounds.low is None:
            continue
        share = float(value) / (float(str(values[bounds.per])) if bounds.per else 1.0)
        assert bounds.high is not None and bounds.low <= share <= bounds.high, (key, value)
        judged += 1
    assert judged >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", presets())
def test_a_preset_trains_on_local_model_and_rows(
    name: str, tmp_path: Path, local: object, train: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    tree = load_config(Path(name), (), {}).tree
    words = ["--model.pretrained_model_name_or_path", str(local.model)]  # type: ignore[attr-defined]
    words += local.overrides(str(tree["dataset"]["_target_"]))  # type: ignore[attr-defined,index]
    words += ["--step_scheduler.max_steps", "2", "--validation_split", "0.3"]
    done = train(name, *words, "--run-dir", "out")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "out" / "training.jsonl").open()]
    held = [json.loads(line) for line in (tmp_path / "out" / "validation.jsonl").open()]
    assert 1 <= len(rows) <= 2  # a large batch takes all rows in one step
    assert held[0]["baseline"] and held[-1]["step"] == rows[-1]["step"]
