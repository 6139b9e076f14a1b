"""The Plan: order, coupling, bounds, and writing it so that twice is as good as once."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.apply import Outcome, apply_edits, default_output
from advisor.configs import find_config, load_config, with_facts
from advisor.errors import EditError
from advisor.findings import Edit, Finding, Plan, Severity
from advisor.plan import make_plan, plan_snippet
from advisor.run import Config, Run, Series

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
LR, EPOCHS = "optimizer.lr", "step_scheduler.num_epochs"
LOCAL, GLOBAL = "step_scheduler.local_batch_size", "step_scheduler.global_batch_size"


def finding(code: str, *edits: Edit, severity: Severity = "warning") -> Finding:
    return Finding(code, "name", "spikes", severity, 0.75, "message", edits=edits)


def times(key: str, by: float, **more: object) -> Edit:
    return Edit(key, "multiply", by, **more)  # type: ignore[arg-type]


def put(key: str, to: object, **more: object) -> Edit:
    return Edit(key, "set", to, **more)  # type: ignore[arg-type]


def run_of(format_: str = "transformers", lr: list[float] | None = None, **facts: object) -> Run:
    series = {}
    if lr is not None:
        steps = np.arange(1, len(lr) + 1, dtype=np.int64)
        series["train/lr"] = Series("train/lr", steps, np.array(lr, dtype=np.float64))
    return Run("run", format_, series, facts=facts)


def copied(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copy(FIXTURES / name, tmp_path))


def by_key(plan: Plan) -> dict[str, Edit]:
    return {edit.key: edit for edit in plan.edits}


def test_a_plan_gives_value_flags_and_diff_in_the_users_own_keys() -> None:
    config = load_config(FIXTURES / "args.json")
    plan = make_plan([finding("LR004", times(LR, 0.3))], config, run_of())
    (edit,) = plan.edits
    assert (edit.old, edit.new, edit.native_key) == (2e-4, 6e-5, "learning_rate")
    assert edit.because == ("LR004",)
    assert plan.overrides == ("--learning_rate", "6e-05")
    assert plan.diff is not None
    assert '-    "learning_rate": 0.0002,\n+    "learning_rate": 6e-05,\n' in plan.diff


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


def test_fewer_epochs_shorten_the_warmup() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    edit = put(EPOCHS, 1)
    plan = make_plan([finding("EP004", edit)], config, run_of(max_steps=600))
    warmup = by_key(plan)["lr_scheduler.lr_warmup_steps"]
    assert warmup.old == 60
    assert isinstance(warmup.new, int) and 5 <= warmup.new <= 20


def test_max_steps_moves_with_the_epochs_that_it_caps() -> None:
    config = with_facts(load_config(FIXTURES / "args.json"), {"max_steps": 300})
    plan = make_plan([finding("EP001", Edit(EPOCHS, "add", 1))], config, run_of())
    assert by_key(plan)["step_scheduler.max_steps"].new == 400


def test_a_rank_takes_its_alpha_along() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan([finding("R1", times("peft.dim", 2))], config, run_of())
    assert by_key(plan)["peft.alpha"].new == 64


def test_the_floor_of_the_schedule_stays_below_its_peak() -> None:
    config = load_config(FIXTURES / "automodel.yaml")
    plan = make_plan([finding("LR005", times(LR, 0.1))], config, run_of())
    assert by_key(plan)["lr_scheduler.min_lr"].new == 2e-6


def test_a_warmup_that_does_not_exist_starts_from_the_table() -> None:
    config = load_config(FIXTURES / "args.json")
    config = with_facts(config, {"warmup_steps": 0})
    edit = times("lr_scheduler.lr_warmup_steps", 2)
    plan = make_plan([finding("LR008", edit)], config, run_of(max_steps=1000))
    new = plan.edits[0].new
    assert isinstance(new, int) and 50 <= new <= 200


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


def lower_rate(path: Path) -> tuple[Plan, Config]:
    config = load_config(path)
    return make_plan([finding("LR004", times(LR, 0.3))], config, run_of("jsonl")), config


def test_edits_go_to_a_file_beside_by_default(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    plan, config = lower_rate(path)
    before = path.read_text()
    outcome = apply_edits(path, plan, config)
    assert outcome.path == tmp_path / "automodel.next.yaml" == default_output(path)
    assert path.read_text() == before
    assert load_config(outcome.path).values[LR] == 6e-5
    assert "abcdef0123456789" in outcome.path.read_text()  # the file's own secret stays


def test_writing_the_same_plan_again_changes_nothing(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    plan, config = lower_rate(path)
    first = apply_edits(path, plan, config)
    assert first.path is not None
    once = first.path.read_text()
    apply_edits(path, plan, config)
    assert first.path.read_text() == once


def test_another_file_is_never_overwritten(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    default_output(path).write_text("mine")
    plan, config = lower_rate(path)
    with pytest.raises(EditError, match="exists already"):
        apply_edits(path, plan, config)
    link = tmp_path / "link.yaml"
    link.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(EditError, match="exists already"):
        apply_edits(path, plan, config, out=link)
    assert not (tmp_path / "elsewhere.yaml").exists()
    assert default_output(path).read_text() == "mine"


def in_place(path: Path, plan: Plan, config: Config) -> Outcome:
    return apply_edits(path, plan, config, in_place=True)


def test_in_place_twice_is_as_good_as_once(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    path.chmod(0o640)
    plan, config = lower_rate(path)
    in_place(path, plan, config)
    once = path.read_text()
    again = in_place(path, plan, config)
    assert path.read_text() == once
    assert again.path is None
    assert again.applied[0].reason == "already changed"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_second_look_at_the_same_run_does_not_compound(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text("{}\n")
    os.utime(log, (1_000_000, 1_000_000))
    path = copied(tmp_path, "automodel.yaml")
    for _ in range(3):
        config = find_config(log)
        findings = [finding("A1", times(LR, 0.3), times(GLOBAL, 2))]
        plan = make_plan(findings, config, run_of("jsonl"), one_group=False)
        in_place(path, plan, config)
    assert load_config(path).values[LR] == 6e-5
    assert load_config(path).values[GLOBAL] == 64


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    real = copied(tmp_path, "automodel.yaml")
    link = tmp_path / "config.yaml"
    link.symlink_to(real)
    plan, config = lower_rate(link)
    in_place(link, plan, config)
    assert link.is_symlink()
    assert load_config(real).values[LR] == 6e-5


def test_only_the_kinds_asked_for_are_written(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    config = load_config(path)
    edits = (times(LR, 0.3), put("dataloader.num_workers", 4, applies="safe"))
    plan = make_plan([finding("A1", *edits)], config, run_of())
    outcome = apply_edits(path, plan, config, include=("safe",))
    assert [a.edit.key for a in outcome.applied if a.written] == ["dataloader.num_workers"]
    assert outcome.path is not None
    assert load_config(outcome.path).values[LR] == 2e-4


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    plan, config = lower_rate(path)
    with pytest.raises(EditError, match="no such folder"):
        apply_edits(path, plan, config, out=tmp_path / "no" / "x.yaml")


def test_the_diff_is_the_difference_of_what_is_written(tmp_path: Path) -> None:
    path = copied(tmp_path, "sft.yaml")
    plan, config = lower_rate(path)
    outcome = apply_edits(path, plan, config)
    lines = difflib.unified_diff(
        outcome.old.splitlines(keepends=True), outcome.new.splitlines(keepends=True),
        "a/sft.yaml", "b/sft.yaml",
    )  # fmt: skip
    assert plan.diff == "".join(lines)


KEYS = (LR, EPOCHS, GLOBAL, LOCAL, "peft.dim", "optimizer.weight_decay", "peft.dropout")
factors = st.sampled_from((0.1, 0.3, 0.5, 2.0, 3.0, 5.0))


@given(
    st.sampled_from(("automodel.yaml", "args.json", "sft.yaml")),
    st.dictionaries(st.sampled_from(KEYS), factors, min_size=1, max_size=4),
    st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_applying_twice_equals_applying_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, wishes: dict[str, float], one: bool
) -> None:
    path = copied(tmp_path_factory.mktemp("run"), name)
    config = load_config(path)
    edits = [times(key, by) for key, by in wishes.items()]
    plan = make_plan([finding("A1", *edits)], config, run_of(max_steps=500), one_group=one)
    in_place(path, plan, config)
    once = path.read_text()
    in_place(path, plan, config)
    assert path.read_text() == once
    if path.suffix == ".json":
        json.loads(once)
    values = load_config(path).values
    local, whole = values.get(LOCAL), values.get(GLOBAL)
    assert isinstance(local, int) and isinstance(whole, int)
    assert whole % local == 0
