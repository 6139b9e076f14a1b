"""Edits speak the key that decides: what another key overrules is not what is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.config.attach import load_config
from advisor.dialects import dialect_of
from advisor.dialects import tree as trees
from advisor.findings import Edit
from advisor.plan.apply import apply_edits
from advisor.plan.make import make_plan
from advisor.run import Config, Run, Series
from tests.plans import EPOCHS, by_key, finding, put

STEPS, WARMUP = "step_scheduler.max_steps", "lr_scheduler.lr_warmup_steps"
VALIDATE, SAVE = "step_scheduler.val_every_steps", "step_scheduler.ckpt_every_steps"
ARGUMENTS = "learning_rate: 2.0e-4\nper_device_train_batch_size: 4\n"


def written(text: str, *edits: Edit) -> dict[str, object]:
    """Return what a file of Hugging Face's arguments holds after the edits."""
    transformers = dialect_of("transformers")
    assert transformers is not None
    path, tree = Path("sft.yaml"), trees.parse(text, Path("sft.yaml"))
    new = transformers.write(text, path, edits, transformers.read(tree), tree)
    return {k: v for k, v in trees.parse(new, path).items() if tree.get(k) != v}


def done(key: str, new: object, old: object = None) -> Edit:
    return Edit(key, "set", None, old=old, new=new, resolved=True)  # type: ignore[arg-type]


def run_of_epochs(epochs: float, steps: int = 300) -> Run:
    at = np.arange(1, 31, dtype=np.int64) * (steps // 30)
    loss = Series("train/loss", at, np.linspace(2, 1, 30), epochs=at / steps * epochs)
    return Run("run", "transformers", {"train/loss": loss}, facts={"max_steps": steps})


@pytest.mark.parametrize(("edit", "steps"), [
    (Edit(EPOCHS, "add", 1), 400), (Edit(EPOCHS, "add", -1), 200), (put(EPOCHS, 2), 200),
    (Edit(EPOCHS, "multiply", 2.0), 500),  # the guide's range ends at five epochs
])  # fmt: skip
def test_where_max_steps_ends_the_run_it_is_changed_and_the_epochs_are_not(
    tmp_path: Path, edit: Edit, steps: int
) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text(ARGUMENTS + "num_train_epochs: 99\nmax_steps: 300\nfinetuning_type: lora\n")
    config = load_config(path)
    plan = make_plan([finding("EP001", edit)], config, run_of_epochs(3.0))
    assert EPOCHS not in by_key(plan)
    (found,) = (e for e in plan.edits if e.key == STEPS)
    assert (found.native_key, found.old) == ("max_steps", 300)
    assert found.new == steps or (edit.op == "multiply" and found.new > 300)
    assert "max_steps ends the run" in found.note
    outcome = apply_edits(path, plan, config)
    assert f"max_steps: {found.new}\n" in outcome.new and "num_train_epochs: 99" in outcome.new


@pytest.mark.parametrize("cap", ["", "max_steps: -1\n", "max_steps: 0\n"])
def test_without_a_cap_the_epochs_decide(tmp_path: Path, cap: str) -> None:
    path = tmp_path / "sft.yaml"
    path.write_text(ARGUMENTS + "num_train_epochs: 3\n" + cap)
    plan = make_plan([finding("EP003", Edit(EPOCHS, "add", -1))], load_config(path),
                     run_of_epochs(3.0))  # fmt: skip
    assert by_key(plan)[EPOCHS].new == 2 and STEPS not in by_key(plan)


def test_a_share_of_warmup_stays_a_share() -> None:
    assert written(ARGUMENTS + "warmup_ratio: 0.1\n", done(WARMUP, 20, 100)) == {
        "warmup_ratio": 0.02
    }
    both = ARGUMENTS + "warmup_ratio: 0.1\nwarmup_steps: 100\n"
    assert written(both, done(WARMUP, 20, 100)) == {"warmup_steps": 20}
    idle = ARGUMENTS + "warmup_ratio: 0.0\nwarmup_steps: 0\n"
    assert written(idle, done(WARMUP, 20, 0)) == {"warmup_steps": 20}
    assert written(both, done("lr_scheduler.lr_warmup_ratio", 0.02, 0.1)) == {}


@given(st.floats(0.01, 0.5), st.integers(50, 5000), st.floats(0.1, 1.9))
def test_a_changed_share_warms_up_for_as_long_as_was_meant(
    share: float, total: int, by: float
) -> None:
    old = max(1, round(share * total))
    new = max(1, round(old * by))
    changed = written(ARGUMENTS + f"warmup_ratio: {share}\n", done(WARMUP, new, old))
    held = changed.get("warmup_ratio", share)
    assert isinstance(held, float)
    assert held == 0.0 or abs(held * old / share - new) <= 0.01 * new + 1


def test_a_share_is_changed_once_however_often_the_plan_is_written() -> None:
    transformers = dialect_of("transformers")
    assert transformers is not None
    path, edits = Path("sft.yaml"), [done(WARMUP, 20, 100)]
    values = {"lr_scheduler.lr_warmup_ratio": 0.1}
    once = twice = ARGUMENTS + "warmup_ratio: 0.1\n"
    once = transformers.write(once, path, edits, values, trees.parse(once, path))
    twice = transformers.write(once, path, edits, values, trees.parse(once, path))
    assert once == twice and "warmup_ratio: 0.02\n" in once


def test_an_interval_in_steps_turns_off_the_one_in_epochs() -> None:
    text = ARGUMENTS + "eval_strategy: epoch\nsave_strategy: epoch\n"
    assert written(text, done(VALIDATE, 50)) == {"eval_strategy": "steps", "eval_steps": 50}
    assert written(text, done(SAVE, 50)) == {"save_strategy": "steps", "save_steps": 50}


def test_a_run_that_loads_its_best_checkpoint_saves_where_it_evaluates() -> None:
    text = ARGUMENTS + (
        "eval_strategy: epoch\nsave_strategy: epoch\nload_best_model_at_end: true\n"
        "save_steps: 120\n"
    )
    new = written(text, done(VALIDATE, 50))
    assert new["eval_strategy"] == new["save_strategy"] == "steps"
    assert new["eval_steps"] == 50 and new["save_steps"] == 100


def test_axolotl_gets_no_second_interval() -> None:
    text = "base_model: m\nmicro_batch_size: 2\nevals_per_epoch: 4\nsaves_per_epoch: 1\n"
    assert written(text, done(VALIDATE, 50), done(SAVE, 50)) == {}


def test_an_attention_backend_is_named_as_llama_factory_names_it() -> None:
    edit = done("model.attn_implementation", "eager", "flash_attention_2")
    text = ARGUMENTS + "finetuning_type: lora\nflash_attn: fa2\n"
    assert written(text, edit) == {"flash_attn": "disabled"}
    assert written(ARGUMENTS + "attn_implementation: sdpa\n", replace(edit, old="sdpa")) == {
        "attn_implementation": "eager"
    }


@pytest.mark.parametrize(("more", "steps"), [(1, 450), (-1, 200)])
def test_a_run_of_steps_alone_is_made_longer_or_shorter_in_steps(more: int, steps: int) -> None:
    loss = Series("train/loss", np.arange(10, 310, 10), np.linspace(2, 1, 30))
    config = Config({STEPS: 300, "optimizer.lr": 1e-5}, {STEPS: "lora_config.yaml"})
    run = Run("run", "console", {"train/loss": loss}, config=config)
    plan = make_plan([finding("EP001", Edit(EPOCHS, "add", more))], config, run)
    assert [(e.key, e.new) for e in plan.edits] == [(STEPS, steps)]


@pytest.mark.parametrize(("old", "new"), [(1e-3, 3e-4), (3e-3, 6e-4), (9.92e-3, 9.9e-4)])
def test_a_rate_that_no_method_bears_comes_down_by_a_leap_where_none_is_known(
    old: float, new: float
) -> None:
    loss = Series("train/loss", np.arange(10, 310, 10), np.linspace(2, 1, 30))
    config = Config({"optimizer.lr": old}, {"optimizer.lr": "log"})
    run = Run("run", "console", {"train/loss": loss}, config=config)
    lower = Edit("optimizer.lr", "multiply", 0.3)
    assert [e.new for e in make_plan([finding("LR007", lower)], config, run).edits] == [new]
