"""The Plan: order, bounds, and what it says in the user's own keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.config.attach import find_config, load_config, with_facts
from advisor.findings import Edit
from advisor.plan.apply import apply_edits
from advisor.plan.make import make_plan, plan_snippet
from advisor.run import Config
from tests.plans import (
    EPOCHS,
    FIXTURES,
    GLOBAL,
    LOCAL,
    LR,
    by_key,
    copied,
    error,
    finding,
    info,
    put,
    run_of,
    times,
)


def test_a_plan_gives_value_flags_and_diff_in_the_users_own_keys() -> None:
    config = load_config(FIXTURES / "args.json")
    plan = make_plan([finding("LR004", times(LR, 0.3))], config, run_of())
    (edit,) = plan.edits
    assert (edit.old, edit.new, edit.native_key) == (2e-4, 6e-5, "learning_rate")
    assert edit.because == ("LR004",)
    assert plan.overrides == ("--learning_rate", "6e-05")
    assert plan.diff is not None
    assert '-    "learning_rate": 0.0002,\n+    "learning_rate": 0.00006,\n' in plan.diff


def test_secrets_of_the_file_are_hidden_in_the_diff() -> None:
    config = load_config(FIXTURES / "args.json")
    edits = (put("optimizer.weight_decay", 0.01),)
    diff = make_plan([finding("A1", *edits)], config, run_of()).diff
    assert diff is not None
    assert "hf_abcdef" not in diff and "hub_token" in diff


def test_one_group_goes_first_and_safe_edits_come_along() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan(
        [
            finding("A1", times("optimizer.weight_decay", 2), times(EPOCHS, 0.5)),
            finding("B1", times(LR, 0.5), put("dataloader.num_workers", 4, applies="safe")),
        ],
        config,
        run_of("jsonl"),
    )
    assert [edit.key for edit in plan.edits] == ["dataloader.num_workers", LR]
    assert [edit.key for edit in plan.later] == [EPOCHS]  # weight decay 0 doubles to 0
    everything = make_plan([finding("A1", times(EPOCHS, 0.5), times(LR, 0.5))], config, run_of(),
                           one_group=False)  # fmt: skip
    assert {LR, EPOCHS} <= set(by_key(everything))


def test_mild_findings_do_not_hold_up_severe_ones() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan(
        [finding("I1", times(LR, 0.5), severity="info"), finding("E1", times(EPOCHS, 0.5))],
        config,
        run_of(),
    )
    assert plan.edits[0].key == EPOCHS
    assert [edit.key for edit in plan.later] == [LR]


def test_a_warmup_that_does_not_exist_starts_from_the_table() -> None:
    config = load_config(FIXTURES / "args.json")
    config = with_facts(config, {"warmup_steps": 0})
    edit = times("lr_scheduler.lr_warmup_steps", 2)
    plan = make_plan([finding("LR008", edit)], config, run_of(max_steps=1000))
    new = plan.edits[0].new
    assert new == 125  # halfway between 50 and 200


def test_the_range_of_the_method_bounds_the_rate() -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {"data.samples": 2000, LR: 4e-5})
    plan = make_plan([finding("LR001", times(LR, 5))], config, run_of())
    assert plan.edits[0].new == 5e-5
    assert "held at" in plan.edits[0].note


def test_without_a_config_the_rate_comes_from_the_log() -> None:
    plan = make_plan([finding("LR004", times(LR, 0.3))], Config(), run_of(lr=[1e-4, 2e-4, 1e-4]))
    (edit,) = plan.edits
    assert (edit.old, edit.new) == (2e-4, 6e-5)
    assert "inferred from the log" in edit.note
    assert plan.diff is None
    assert plan.overrides == ("--learning_rate", "6e-05")


def test_without_anything_an_edit_stays_relative() -> None:
    plan = make_plan([finding("LR004", times(LR, 0.3))], Config(), run_of())
    (edit,) = plan.edits
    assert not edit.resolved
    assert (plan.diff, plan.overrides) == (None, ())


def test_a_default_counts_only_where_a_file_shows_the_arguments() -> None:
    adapter = load_config(FIXTURES / "adapter_config.json")
    plan = make_plan([finding("LR004", times(LR, 0.3))], adapter, run_of())
    assert not plan.edits[0].resolved
    plan = make_plan(
        [finding("A1", put("clip_grad_norm.max_norm", 1.0))],
        load_config(FIXTURES / "automodel.yaml"),
        run_of(),
    )
    assert plan.edits == ()
    assert "already 1.0" in plan.dropped[0].note


def test_the_log_is_believed_over_a_file_edited_since(tmp_path: Path) -> None:
    path = copied(tmp_path, "args.json")
    path.write_text(path.read_text().replace("0.0002", "6e-05"))
    run = run_of(lr=[1e-4, 2e-4, 1e-4])
    plan = make_plan([finding("LR004", times(LR, 0.3))], load_config(path), run)
    assert plan.edits[0].old == 2e-4
    assert "already changed" in plan.edits[0].note
    assert (plan.diff, plan.overrides) == (None, ())


def test_a_key_that_the_trainer_lacks_is_named_so() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan([finding("M1", put("logging.nan_inf_filter", False, applies="safe"))],
                     config, run_of("jsonl"))  # fmt: skip
    assert plan.edits[0].native_key == ""
    assert "no such key in automodel" in plan.edits[0].note
    assert plan.diff is None


def test_a_key_that_lives_in_the_script_is_said_to(tmp_path: Path) -> None:
    path = copied(tmp_path, "args.json")
    copied(tmp_path, "adapter_config.json")
    config = find_config(tmp_path)
    plan = make_plan([finding("R1", times("peft.dim", 2))], config, run_of())
    assert plan.diff is None
    assert "not in this file" in plan.edits[0].note
    assert "LoraConfig(\n    r=32," in plan_snippet(plan, config, run_of())
    outcome = apply_edits(path, plan, config)
    assert outcome.path is None and not outcome.applied[0].written


def test_keyword_arguments_serve_where_no_file_can_be_written() -> None:
    run = run_of(lr=[1e-4, 2e-4, 1e-4])
    plan = make_plan([finding("LR004", times(LR, 0.3))], Config(), run)
    assert "learning_rate=6e-05" in plan_snippet(plan, Config(), run)


def test_mild_wishes_wait_while_an_error_has_no_cure_of_its_own() -> None:
    config = load_config(FIXTURES / "args.json")
    labels = error("NUM005", Edit("dataset", "set", None, "advice", note="look at the data"))
    plan = make_plan([labels, info("CFG003", put("optimizer.weight_decay", 0.1))], config, run_of())
    assert [edit.applies for edit in plan.edits] == ["advice"]
    assert [edit.key for edit in plan.later] == ["optimizer.weight_decay"]
    assert (plan.overrides, plan.diff) == ((), None)


def test_how_a_run_is_measured_waits_for_nothing() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    measured = put("step_scheduler.val_every_steps", 7)
    plan = make_plan(
        [finding("A1", measured, times(LR, 0.5), times(EPOCHS, 0.5))], config, run_of()
    )
    assert [e.key for e in plan.edits][:2] == ["step_scheduler.val_every_steps", LR]
    assert [e.key for e in plan.later] == [EPOCHS]


def test_an_error_with_a_cure_holds_nothing_up() -> None:
    config = load_config(FIXTURES / "args.json")
    findings = [
        error("E1", times(LR, 0.3)),
        info("I1", put("lr_scheduler.lr_decay_style", "cosine")),
    ]
    plan = make_plan(findings, config, run_of())
    assert LR in by_key(plan)


def test_edits_come_in_the_guides_order() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    keys = ("optimizer.weight_decay", EPOCHS, GLOBAL, LR, LOCAL)
    edits = [put(key, 2 if key != LR else 1e-4) for key in keys]
    plan = make_plan([finding("A1", *edits)], config, run_of(), one_group=False)
    assert [e.key for e in plan.edits if e.key in keys] == [LOCAL, LR, GLOBAL, EPOCHS, keys[0]]


def test_values_are_shown_as_the_user_spells_them() -> None:
    config = load_config(FIXTURES / "args.json")
    plan = make_plan([finding("A1", times(GLOBAL, 2), put("precision.amp", "bf16"))], config,
                     run_of(), one_group=False)  # fmt: skip
    shown = {e.native_key: (e.native_old, e.native_new) for e in plan.edits}
    assert shown["gradient_accumulation_steps"] == (2, 4)
    assert shown["fp16"] == (True, False)


def test_an_adapter_on_all_layers_is_named_as_each_front_end_names_it(tmp_path: Path) -> None:
    for marks, key, value in (
        ("finetuning_type: lora\nlora_rank: 8\nlora_target: q_proj,v_proj\n", "lora_target", "all"),
        ("lora_r: 8\nuse_peft: true\n", "lora_target_modules", "all-linear"),
        ("micro_batch_size: 8\nlora_r: 8\nadapter: lora\n", "lora_target_linear", True),
    ):
        path = tmp_path / f"{key}.yaml"
        path.write_text(f"learning_rate: 1.0e-4\nnum_train_epochs: 1\n{marks}")
        edit = put("peft.match_all_linear", True)
        (found,) = make_plan([finding("A1", edit)], load_config(path), run_of()).edits
        assert (found.native_key, found.native_new) == (key, value)


@pytest.mark.parametrize(
    ("rate", "wanted"), [(4e-5, 5e-5), (5e-5, 2.5e-4), (4e-4, 6e-4), (7e-4, None)]
)
def test_a_slow_run_beyond_the_guides_range_is_raised_within_the_fields(
    rate: float, wanted: float | None
) -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {"data.samples": 2000, LR: rate})
    plan = make_plan([finding("LR001", times(LR, 5))], config, run_of())
    assert by_key(plan).get(LR, Edit(LR, "set", None)).new == (wanted and pytest.approx(wanted))


def test_the_floor_of_a_range_does_not_keep_an_overfit_run_long() -> None:
    facts: dict[str, object] = {"data.samples": 2000, EPOCHS: 3}  # LoRA on few samples: 3 to 5
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), facts)
    plan = make_plan([finding("EP004", Edit(EPOCHS, "add", -1))], config, run_of())
    assert by_key(plan)[EPOCHS].new == 2


def test_a_rate_below_its_range_is_brought_up_to_it() -> None:
    config = with_facts(load_config(FIXTURES / "automodel.yaml"), {LR: 1e-6})
    plan = make_plan([finding("LR001", times(LR, 5))], config, run_of())
    assert by_key(plan)[LR].new == 1e-5
    assert "held at 1e-05" in by_key(plan)[LR].note


def test_a_variable_is_named_and_left_to_the_user(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (FIXTURES / "automodel.yaml").read_text().replace("lr: 2.0e-4", "lr: ${LR,2.0e-4}")
    path.write_text(text)
    run = run_of("jsonl", lr=[1e-4, 2e-4, 1e-4])
    plan = make_plan([finding("LR004", times(LR, 0.3))], load_config(path), run)
    assert "${LR,2.0e-4}" in plan.edits[0].note
    assert plan.diff is None
    assert plan.overrides == ("--optimizer.lr", "6e-05")


def test_a_config_that_broke_since_still_gets_a_plan(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    config = load_config(path)
    path.write_text("lr: [1, 2\n  b: }")
    plan = make_plan([finding("LR004", times(LR, 0.3))], config, run_of("jsonl"))
    assert "no diff: " in plan.edits[0].note and plan.diff is None
    assert plan.overrides == ("--optimizer.lr", "6e-05")


@pytest.mark.parametrize(
    ("text", "key", "new", "flags"),
    [
        ("lora_r: 8\nuse_peft: true\n", "peft.dim", 16, "--lora_r 16"),
        ("finetuning_type: lora\nlora_rank: 8\n", "peft.dim", 16, "--lora_rank 16"),
        ("cutoff_len: 99\n", "dataset.seq_length", 512, "--cutoff_len 512"),
        ("bf16: false\nfp16: true\n", "precision.amp", "bf16", "--bf16 True --fp16 False"),
        ("lr_scheduler_type: cosine\n", "lr_scheduler.min_lr", 1e-6,
         '--lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs {"min_lr": 1e-06}'),
        ("x: 1\n", "peft.dim", 16, ""),
    ],
)  # fmt: skip
def test_flags_are_those_of_the_front_end(
    tmp_path: Path, text: str, key: str, new: object, flags: str
) -> None:
    path = tmp_path / "args.yaml"
    path.write_text(f"learning_rate: 1.0e-4\nnum_train_epochs: 1\n{text}")
    plan = make_plan([finding("A1", put(key, new))], load_config(path), run_of())
    assert " ".join(plan.overrides) == flags


def test_lists_on_automodels_command_line_are_python_literals() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    edit = Edit("peft.target_modules", "append", "*.k_proj")
    plan = make_plan([finding("A1", edit)], config, run_of("jsonl"))
    assert plan.overrides[1] == "['*.q_proj', '*.v_proj', '*.k_proj']"
