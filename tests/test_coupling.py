"""What an Edit takes along: rate with batch, warm-up with epochs, alpha with rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.config.attach import load_config, with_facts
from advisor.findings import Edit
from advisor.plan.coupling import fit_batch
from advisor.plan.make import make_plan
from tests.plans import (
    EPOCHS,
    FIXTURES,
    GLOBAL,
    LOCAL,
    LR,
    by_key,
    finding,
    put,
    run_of,
    times,
)


def test_a_larger_batch_moves_the_rate_by_its_root() -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {LR: 1e-4})
    plan = make_plan([finding("BS001", times(GLOBAL, 2))], config, run_of())
    assert by_key(plan)[GLOBAL].new == 64
    assert by_key(plan)[LR].new == 1.4e-4
    assert "comes along" in by_key(plan)[LR].note


def test_what_comes_along_stays_within_its_range_and_that_is_said() -> None:
    config = load_config(FIXTURES / "automodel.yaml")  # its rate is the highest for LoRA
    plan = make_plan([finding("BS001", times(GLOBAL, 2))], config, run_of())
    assert list(by_key(plan)) == [GLOBAL]
    assert [edit.key for edit in plan.dropped] == [LR]
    assert "held at 0.0002" in plan.dropped[0].note


def test_a_rate_that_is_edited_for_its_own_sake_is_not_coupled() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan(
        [finding("BS001", times(GLOBAL, 2)), finding("LR004", times(LR, 0.5))],
        config,
        run_of(),
        one_group=False,
    )
    assert by_key(plan)[LR].new == 1e-4


def test_half_the_local_batch_keeps_the_global_one() -> None:
    oom = finding("MEM001", times(LOCAL, 0.5, low=1))
    config = load_config(FIXTURES / "args.json")
    plan = make_plan([oom], config, run_of())
    assert by_key(plan)["step_scheduler.grad_acc_steps"].new == 4
    assert plan.overrides == (
        "--per_device_train_batch_size", "4", "--gradient_accumulation_steps", "4",
    )  # fmt: skip
    plan = make_plan([oom], load_config(FIXTURES / "automodel.yaml"), run_of())
    assert list(by_key(plan)) == [LOCAL]


def test_a_local_batch_always_divides_the_global_one() -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {GLOBAL: 24, LOCAL: 12})
    plan = make_plan([finding("MEM001", times(LOCAL, 0.4, low=1))], config, run_of())
    assert by_key(plan)[LOCAL].new == 4


def test_full_to_lora_raises_the_rate_tenfold(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("step_scheduler:\n  num_epochs: 1\noptimizer:\n  lr: 1.0e-05\n")
    plan = make_plan([finding("F1", put("method", "lora"))], load_config(path), run_of("jsonl"))
    assert by_key(plan)[LR].new == 1e-4
    assert plan.diff is not None and "match_all_linear: true" in plan.diff


def test_lora_to_full_lowers_the_rate_tenfold() -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {"method": "lora", LR: 1e-4})
    plan = make_plan([finding("F1", put("method", "full"))], config, run_of("jsonl"))
    assert by_key(plan)[LR].new == 1e-5


def test_fewer_epochs_shorten_the_warmup() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    edit = put(EPOCHS, 1)
    plan = make_plan([finding("EP004", edit)], config, run_of(max_steps=600))
    warmup = by_key(plan)["lr_scheduler.lr_warmup_steps"]
    assert warmup.old == 60
    assert isinstance(warmup.new, int) and 5 <= warmup.new <= 20


def test_max_steps_grows_by_half_where_no_log_tells_how_long_an_epoch_is() -> None:
    config = with_facts(load_config(FIXTURES / "args.json"), {"max_steps": 300})
    plan = make_plan([finding("EP001", Edit(EPOCHS, "add", 1))], config, run_of())
    assert by_key(plan)["step_scheduler.max_steps"].new == 450


def test_a_rank_takes_its_alpha_along() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan([finding("R1", times("peft.dim", 2))], config, run_of())
    assert by_key(plan)["peft.alpha"].new == 64


def test_the_floor_of_the_schedule_stays_below_its_peak() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan([finding("LR005", times(LR, 0.1))], config, run_of())
    assert by_key(plan)["lr_scheduler.min_lr"].new == 2e-6


@pytest.mark.parametrize(("floor", "new"), [(1.2e-5, 2e-6), (1e-5, 2e-6), (8e-6, None)])
def test_a_floor_moves_where_it_comes_within_half_of_the_peak(
    floor: float, new: float | None
) -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {"lr_scheduler.min_lr": floor})
    edits = by_key(make_plan([finding("LR005", times(LR, 0.1))], config, run_of()))
    assert edits[LR].new == 2e-5
    assert (edits["lr_scheduler.min_lr"].new if "lr_scheduler.min_lr" in edits else None) == new


@pytest.mark.parametrize(("wanted", "new"), [(20, 16), (23, 16), (24, 32), (3, 16), (48, 48)])
def test_a_global_batch_is_the_nearest_multiple_of_the_local_one(wanted: int, new: int) -> None:
    found, why = fit_batch(put(GLOBAL, wanted, new=wanted), {LOCAL: 16}, known=True)
    assert found == new
    assert bool(why) == (new != wanted)


def test_the_range_of_the_new_method_bounds_the_rate_that_comes_along(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("step_scheduler:\n  num_epochs: 1\noptimizer:\n  lr: 5.0e-05\n")
    plan = make_plan([finding("F1", put("method", "lora"))], load_config(path), run_of("jsonl"))
    assert by_key(plan)[LR].new == 2e-4


def test_a_larger_batch_ends_warmup_and_decay_sooner() -> None:
    config = with_facts(
        load_config(FIXTURES / "automodel.yaml"),
        {"lr_scheduler.lr_warmup_steps": 60, "lr_scheduler.lr_decay_steps": 600},
    )
    plan = make_plan([finding("BS001", times(GLOBAL, 2))], config, run_of(max_steps=600))
    assert by_key(plan)["lr_scheduler.lr_decay_steps"].new == 300
    assert by_key(plan)["lr_scheduler.lr_warmup_steps"].new == 30
