"""From a symptom to the next run: for each row of the guide the right key moves the right way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from advisor.diagnosis import diagnose
from advisor.findings import Edit, Plan
from advisor.plan.make import make_plan
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules

RULES = load_rules()
LR, WARMUP = "optimizer.lr", "lr_scheduler.lr_warmup_steps"
LOCAL, GLOBAL = "step_scheduler.local_batch_size", "step_scheduler.global_batch_size"
EPOCHS, STEPS = "step_scheduler.num_epochs", "step_scheduler.max_steps"
CLIP, AMP = "clip_grad_norm.max_norm", "precision.amp"
LORA: dict[str, object] = {
    "method": "lora", LR: 5e-5, GLOBAL: 32, LOCAL: 8, EPOCHS: 3, CLIP: 1.0, AMP: "bf16",
    "peft.dim": 8, "peft.alpha": 16, "peft.dropout": 0.05, "optimizer.weight_decay": 0.01,
    "peft.match_all_linear": True, "data.samples": 20_000,
}  # fmt: skip
FALLS, QUIET = "3>1.2~0.02x200", "1~0.05x200"
SPIKES = "3>1.5~0.03x80 5 4.2 1.5~0.03x30 5.5 3 1.5~0.03x30 5 4 1.5~0.03x50"
CONSTANT = "5e-5x200"


def plan_of(
    series: Mapping[str, str], config: Mapping[str, object] | None = None, dialect: str = "",
    **more: Any,
) -> Plan:  # fmt: skip
    values = {**LORA, **(config or {})}
    run = make_run(series, config={k: v for k, v in values.items() if v is not None}, **more)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, dialect=dialect))
    return make_plan(diagnose(run, RULES).findings, run.config, run)


def moves(plan: Plan) -> dict[str, int]:
    return {e.key: e.direction for e in plan.edits if e.resolved and e.applies != "advice"}


def edit_of(plan: Plan, key: str) -> Edit:
    return next(edit for edit in plan.edits if edit.key == key)


@pytest.mark.parametrize(
    ("series", "key", "sign"),
    [
        pytest.param({"train/loss": "2.5~0.02x200", "train/lr": CONSTANT}, LR, 1, id="barely"),
        pytest.param({"train/loss": "2.4-0.002~0.02x200", "train/lr": CONSTANT}, LR, 1, id="slow"),
        pytest.param({"train/loss": SPIKES, "train/lr": CONSTANT}, LR, -1, id="spikes"),
        pytest.param({"train/loss": "3>1.5~0.03x80 1.5+0.03~0.03x80"}, LR, -1, id="diverges"),
        pytest.param({"train/loss": "3>2~0.03x15 7~0.05x150"}, LR, -1, id="blows up early"),
        pytest.param({"train/loss": "2 2.1 nanx80"}, LR, -1, id="nan at once"),
        pytest.param({"train/loss": "3>1.5~0.03x80 nanx40"}, LR, -1, id="nan later"),
        pytest.param(
            {"train/loss": FALLS, "train/grad_norm": "1~0.05x120 1+0.6x80"}, LR, -1,
            id="gradients explode",
        ),
        pytest.param(
            {"train/loss": "3>2.6~0.02x8 6 5 2.5>1.5~0.03x190"}, WARMUP, 1, id="early spike"
        ),
        pytest.param({"train/loss": "6~2.5x200", "train/lr": CONSTANT}, GLOBAL, 1, id="noisy"),
    ],
)  # fmt: skip
def test_what_the_training_loss_shows_moves_the_right_key(
    series: dict[str, str], key: str, sign: int
) -> None:
    config = {GLOBAL: 32, WARMUP: 10 if key == WARMUP else None}
    plan = plan_of(series, config, facts={"max_steps": 200})
    assert moves(plan).get(key) == sign, plan


def test_nan_within_the_first_steps_takes_a_tenth_of_the_rate() -> None:
    plan = plan_of({"train/loss": "2 2.1 nanx80"}, {LR: 2e-4, "data.samples": None})
    assert edit_of(plan, LR).new == 2e-5


def test_nan_switches_clipping_on_where_it_is_off() -> None:
    plan = plan_of({"train/loss": "2 2.1 nanx80"}, {CLIP: 0.0})
    everything = [*plan.edits, *plan.later]
    assert any(e.key == CLIP and e.new == 1.0 for e in everything)


def test_nan_under_fp16_turns_to_bf16_before_the_rate_is_touched() -> None:
    plan = plan_of({"train/loss": "2 2.1 nanx80"}, {AMP: "fp16"})
    assert edit_of(plan, AMP).new == "bf16"
    assert LR not in moves(plan)
    assert LR in [edit.key for edit in plan.later]


def test_a_hidden_nan_switches_the_log_filter_off_and_bf16_on() -> None:
    plan = plan_of(
        {"train/loss": "2.1 0x80", "train/grad_norm": "3 nanx80"}, {AMP: "fp16"}, "transformers"
    )
    assert edit_of(plan, "logging.nan_inf_filter").new is False
    assert edit_of(plan, AMP).new == "bf16"


HELD = {"eval/loss": 20}


def test_overfitting_reduces_the_epochs_first() -> None:
    series = {"train/loss": "3>0.3~0.02x200", "eval/loss": "3>1.5x5 1.5+0.12x5"}
    plan = plan_of(series, every=HELD, epochs=3)
    assert moves(plan).get(EPOCHS) == -1
    assert "peft.dropout" not in moves(plan) and "optimizer.weight_decay" not in moves(plan)


def test_overfitting_in_few_epochs_turns_to_regularisation() -> None:
    series = {"train/loss": "3>0.3~0.02x200", "eval/loss": "3>1.5x5 1.5+0.12x5"}
    plan = plan_of(series, {EPOCHS: 1}, every=HELD, epochs=1)
    assert EPOCHS not in moves(plan)
    assert moves(plan).get("optimizer.weight_decay") == 1
    assert moves(plan).get("peft.dropout") == 1


def test_overfitting_ends_a_run_of_counted_steps_at_its_minimum() -> None:
    series = {"train/loss": "3>0.3~0.02x200", "eval/loss": "3>1.5x5 1.5+0.12x5"}
    plan = plan_of(series, {STEPS: 200}, every=HELD, epochs=3)
    assert moves(plan).get(STEPS) == -1


def test_a_run_that_still_learns_trains_longer() -> None:
    series = {"train/loss": "3-0.008~0.02x200", "eval/loss": "3-0.16x10", "train/lr": CONSTANT}
    plan = plan_of(series, {EPOCHS: 1}, every=HELD, epochs=1)
    assert moves(plan).get(EPOCHS) == 1
    assert edit_of(plan, EPOCHS).new in (2, 3)


OOM = ({"kind": "oom", "text": "CUDA out of memory. Tried to allocate 2.00 GiB", "step": 20},)


@pytest.mark.parametrize("dialect", ["automodel", "transformers"])
def test_out_of_memory_halves_the_local_batch_and_keeps_the_global_one(dialect: str) -> None:
    config = {"step_scheduler.grad_acc_steps": 4 if dialect == "transformers" else None}
    plan = plan_of({"train/loss": "3>2.5~0.02x20"}, config, dialect, events=OOM)
    assert edit_of(plan, LOCAL).new == 4
    assert GLOBAL not in moves(plan) and LR not in moves(plan)
    along = [e.new for e in plan.edits if e.key == "step_scheduler.grad_acc_steps"]
    assert along == ([8] if dialect == "transformers" else [])


def test_out_of_memory_halves_even_what_is_recommended_to_start_with() -> None:
    config = {"method": "full", LR: 5e-6, LOCAL: 2, "data.samples": 2000}
    plan = plan_of({"train/loss": "3>2.5~0.02x20"}, config, events=OOM)
    assert edit_of(plan, LOCAL).new == 1


def test_out_of_memory_at_a_local_batch_of_one_spares_activations() -> None:
    plan = plan_of({"train/loss": "3>2.5~0.02x20"}, {LOCAL: 1}, "automodel", events=OOM)
    assert LOCAL not in moves(plan)
    assert edit_of(plan, "distributed_config.activation_checkpointing").new is True


def test_an_idle_device_gets_larger_local_batches() -> None:
    plan = plan_of({"train/loss": FALLS, "train/gpu_utilization": "30~2x200"}, {LOCAL: 4})
    assert moves(plan).get(LOCAL) == 1 and GLOBAL not in moves(plan)


def test_a_flat_adapter_on_attention_alone_is_put_on_all_linear_layers() -> None:
    series = {"train/loss": "2.6>2.2~0.02x20 2.2~0.02x180", "train/lr": "1e-5x200"}
    config = {"peft.match_all_linear": None, "peft.target_modules": ["q_proj", "v_proj"]}
    plan = plan_of(series, config)
    assert any(e.key == "peft.match_all_linear" and e.new for e in (*plan.edits, *plan.later))


def test_a_healthy_run_changes_nothing_in_a_sound_config() -> None:
    series = {"train/loss": FALLS, "eval/loss": "3>1.3x10", "train/grad_norm": QUIET}
    plan = plan_of(series, every=HELD, epochs=3)
    assert moves(plan) == {}


def test_masked_labels_are_no_reason_to_change_the_adapter() -> None:
    config = {"peft.match_all_linear": None, "peft.target_modules": ["q_proj", "v_proj"]}
    plan = plan_of({"train/loss": "0x80"}, config)
    assert moves(plan) == {}
    assert "peft.match_all_linear" in [edit.key for edit in plan.later]
