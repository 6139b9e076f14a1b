"""Damaged configs: too deep, with numbers beyond any use, with a byte order mark."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from advisor.config.attach import attach_config, load_config
from advisor.errors import ConfigError
from advisor.findings import Edit
from advisor.plan.apply import apply_edits
from advisor.plan.make import make_plan
from tests.plans import FIXTURES, finding, run_of

_ARGS = '{"learning_rate": 1e-4, "num_train_epochs": 1, "x": '
_YAML = "lr: 1\nepochs: 1\ndataset: "
DEEP = {
    "brackets.json": _ARGS + "[" * 900 + "]" * 900 + "}",
    "objects.json": _ARGS + '{"a":' * 900 + "1" + "}" * 901,
    "brackets.yaml": _YAML + "[" * 900 + "]" * 900 + "\n",
    "items.yaml": _YAML + "[1, " * 900 + "]" * 900 + "\n",
    "objects.yaml": _YAML + "{a: " * 900 + "1" + "}" * 900 + "\n",
    "blocks.yaml": _YAML + "\n" + "".join(" " * i + "k:\n" for i in range(1, 300)),
    "items in blocks.yaml": _YAML + "\n" + "".join("  " * i + "-\n" for i in range(1, 300)),
}


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_config_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(DEEP[name])
    start = time.process_time()
    with pytest.raises(ConfigError, match="too deeply"):
        load_config(path)
    assert time.process_time() - start < 0.5


def test_brackets_within_texts_nest_nothing(tmp_path: Path) -> None:
    path = tmp_path / "args.json"
    text = "[" * 900 + '\\"'
    path.write_text('{"learning_rate": 1e-4, "num_train_epochs": 1, "template": "' + text + '"}')
    assert load_config(path).values["optimizer.lr"] == 1e-4


@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "1e999", "1" + "0" * 30])
@pytest.mark.parametrize("key", ["learning_rate", "warmup_ratio", "num_train_epochs", "r",
                                 "per_device_train_batch_size", "max_steps", "seed"])  # fmt: skip
def test_a_number_beyond_any_use_is_no_fault_of_ours(tmp_path: Path, key: str, number: str) -> None:
    values = {"learning_rate": "1e-4", "num_train_epochs": "3", "lora_alpha": "8"} | {key: number}
    path = tmp_path / "args.json"
    path.write_text("{" + ", ".join(f'"{k}": {v}' for k, v in values.items()) + "}")
    run = attach_config(run_of(lr=[1e-4, 1e-4], max_steps=20), tmp_path)
    edits = [Edit(k, "multiply", 0.5) for k in ("optimizer.lr", "step_scheduler.num_epochs")]
    edits += [Edit("lr_scheduler.lr_warmup_steps", "set", 4), Edit("peft.dim", "multiply", 2)]
    found = finding("A1", *edits)
    plan = make_plan([found], run.config, run, one_group=False)
    assert all(not isinstance(e.new, int | float) or abs(e.new) < 1e15 for e in plan.edits)


@pytest.mark.parametrize("name", ["args.json", "automodel.yaml", "sft.yaml"])
def test_a_byte_order_mark_changes_nothing_and_stays(tmp_path: Path, name: str) -> None:
    path, text = tmp_path / name, (FIXTURES / name).read_text()
    path.write_text("\ufeff" + text, encoding="utf-8")
    config = load_config(path)
    assert dict(config.values) == dict(load_config(FIXTURES / name).values)
    found = finding("A1", Edit("optimizer.lr", "multiply", 0.3))
    plan = make_plan([found], config, run_of())
    assert plan.diff is not None and "\ufeff" not in plan.diff.split("@@")[0]
    outcome = apply_edits(path, plan, config)
    assert outcome.path is not None
    new = outcome.path.read_text(encoding="utf-8")
    assert new.startswith("\ufeff") and new.count("\ufeff") == 1
    assert load_config(outcome.path).values["optimizer.lr"] < config.values["optimizer.lr"]
