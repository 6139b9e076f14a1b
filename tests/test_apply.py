"""Writing a Plan: beside the config or in its place, and twice as good as once."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.config.attach import find_config, load_config, with_facts
from advisor.errors import EditError
from advisor.findings import Edit, Finding, Plan, Written
from advisor.plan.apply import apply_edits, default_output, preview_edits
from advisor.plan.make import make_plan
from advisor.run import Config, Run

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
LR, EPOCHS = "optimizer.lr", "step_scheduler.num_epochs"
LOCAL, GLOBAL = "step_scheduler.local_batch_size", "step_scheduler.global_batch_size"


def finding(code: str, *edits: Edit) -> Finding:
    return Finding(code, "name", "spikes", "warning", 0.75, "message", edits=edits)


def times(key: str, by: float) -> Edit:
    return Edit(key, "multiply", by)


def run_of(format_: str = "transformers", **facts: object) -> Run:
    return Run("run", format_, {}, facts=facts)


def copied(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copy(FIXTURES / name, tmp_path))


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


def in_place(path: Path, plan: Plan, config: Config) -> Written:
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
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


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
    edits = (times(LR, 0.3), Edit("dataloader.num_workers", "set", 4, "safe"))
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


def test_a_preview_writes_nothing_and_says_what_would_be(tmp_path: Path) -> None:
    path = copied(tmp_path, "automodel.yaml")
    plan, config = lower_rate(path)
    outcome = preview_edits(path, plan, config)
    assert outcome.path is None and "lr: 6.0e-5" in outcome.new
    assert [p.name for p in tmp_path.iterdir()] == ["automodel.yaml"]


def test_the_accumulation_counts_the_devices_that_the_user_stated(tmp_path: Path) -> None:
    path = copied(tmp_path, "args.json")
    config = with_facts(load_config(path), {"data.parallel": 4})
    plan = make_plan([finding("BS001", times(GLOBAL, 2))], config, run_of())
    outcome = apply_edits(path, plan, config)
    assert outcome.path is not None
    assert json.loads(outcome.path.read_text())["gradient_accumulation_steps"] == 4
    assert plan.diff is not None and '"gradient_accumulation_steps": 4' in plan.diff


def test_a_link_to_another_folder_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "config.yaml"
    link.symlink_to(copied(tmp_path, "automodel.yaml"))
    plan, config = lower_rate(link)
    with pytest.raises(EditError, match="in another folder"):
        in_place(link, plan, config)


def test_what_was_kept_first_is_not_replaced_by_what_was_edited_since(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text("{}\n")
    os.utime(log, (1_000_000, 1_000_000))
    path = copied(tmp_path, "automodel.yaml")
    first = path.read_text()
    for edit in (times(LR, 0.3), times(EPOCHS, 2)):
        config = find_config(log)
        in_place(path, make_plan([finding("A1", edit)], config, run_of("jsonl")), config)
    assert (tmp_path / "automodel.yaml.before").read_text() == first
    assert load_config(path).values[LR] == 6e-5 and load_config(path).values[EPOCHS] != 3


def test_a_config_that_a_later_run_took_is_kept_anew(tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    path = copied(tmp_path, "automodel.yaml")
    for by in (0.3, 0.5):
        log.write_text("{}\n")
        os.utime(log, (4_000_000_000, 4_000_000_000))
        config = find_config(log)
        trained = path.read_text()
        in_place(path, make_plan([finding("A1", times(LR, by))], config, run_of("jsonl")), config)
        assert (tmp_path / "automodel.yaml.before").read_text() == trained
    assert load_config(path).values[LR] == 3e-5
