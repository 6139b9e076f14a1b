"""Cures match causes: what is edited first is what the likeliest cause asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.diagnosis import diagnose
from advisor.dialects.keys import CANONICAL_KEYS
from advisor.findings import Finding, Plan
from advisor.plan.make import make_plan
from advisor.rulebook.cases import make_run
from advisor.rulebook.causes import CAUSES, CURES
from advisor.rulebook.load import load_rules
from advisor.run import Run
from tests.cli.program import advise

RULES = load_rules()
LR, AMP, CLIP = "optimizer.lr", "precision.amp", "clip_grad_norm.max_norm"
LATE, AT_ONCE = "3>1.5~0.03x80 nanx40", "2 2.1 nanx80"


def told(run: Run) -> tuple[Finding, Plan]:
    findings = diagnose(run, RULES).findings
    return findings[0], make_plan(findings, run.config, run)


def keys(plan: Plan) -> list[str]:
    return [edit.key for edit in plan.edits if edit.applies == "review"]


def test_what_cures_a_cause_is_a_known_key() -> None:
    assert CURES.keys() <= CAUSES.keys()
    assert all(key in CANONICAL_KEYS for cures in CURES.values() for key in cures)


@pytest.mark.parametrize("loss", [LATE, AT_ONCE])
@pytest.mark.parametrize("amp", [None, "bf16"])
def test_nan_at_an_excessive_rate_edits_the_rate_first(loss: str, amp: str | None) -> None:
    config = {"method": "lora", LR: 6e-3} | ({AMP: amp} if amp else {})
    first, plan = told(make_run({"train/loss": loss}, config=config))
    assert first.symptom == "nonfinite" and first.causes[0][0] == "lr_too_high"
    assert keys(plan) == [LR]
    assert (AMP in [edit.key for edit in plan.later]) == (amp is None)


def test_nan_in_float16_at_a_usual_rate_edits_the_precision_first() -> None:
    config = {"method": "lora", LR: 1e-4, AMP: "fp16"}
    first, plan = told(make_run({"train/loss": LATE}, config=config))
    assert first.causes[0][0] == "fp16_overflow"
    assert keys(plan) == [AMP]
    assert LR in [edit.key for edit in plan.later]


def test_a_rate_that_nobody_knows_holds_up_nothing() -> None:
    first, plan = told(make_run({"train/loss": "3>1.5~0.03x60 3>9x20 nanx40"}))
    assert first.causes[0][0] == "lr_too_high"
    assert set(keys(plan)) == {LR, AMP}


def test_a_root_takes_over_the_edit_of_what_it_explains() -> None:
    run = make_run({"train/loss": "3>1.5~0.03x80 0x20", "eval/loss": "1.9 nan nan"},
                   every={"eval/loss": 30}, config={"method": "lora", LR: 6e-3})  # fmt: skip
    report = diagnose(run, RULES)
    assert [f.code for f in report.findings if f.severity == "error"] == ["NUM003"]
    assert "NUM004" in [finding.code for finding, _ in report.suppressed]
    assert LR in keys(make_plan(report.findings, run.config, run))


def test_what_a_resume_explains_moves_no_rate() -> None:
    run = make_run({"train/loss": "3>1.5~0.02x80 4~0.05x40"}, config={"method": "lora", LR: 1e-4},
                   events=[{"kind": "resume", "text": "resumed", "step": 80}])  # fmt: skip
    report = diagnose(run, RULES)
    assert report.findings[0].code == "RS001"
    assert "LR007" in [finding.code for finding, _ in report.suppressed]
    assert LR not in keys(make_plan(report.findings, run.config, run))


def test_a_named_attention_is_written_where_the_config_holds_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "model_name_or_path: some/model\nattn_implementation: flash_attention_2  # fast\n"
        "learning_rate: 8.0e-5\nnum_train_epochs: 2\nper_device_train_batch_size: 4\nbf16: true\n"
    )
    rows = ["{'loss': 0.46, 'grad_norm': nan, 'learning_rate': 4e-05, 'epoch': 1.0}",
            "{'loss': 0.0, 'grad_norm': nan, 'learning_rate': 0.0, 'epoch': 2.0}"]  # fmt: skip
    (tmp_path / "train.log").write_text("\n".join(rows) + "\n")
    done = advise("check", tmp_path, "--format", "json", "--exit-zero")
    (run,) = json.loads(done.stdout)["runs"]
    assert run["findings"][0]["causes"][0]["cause"] == "attention_backend"
    assert "-attn_implementation: flash_attention_2  # fast" in run["plan"]["diff"]
    assert f"+attn_implementation: sdpa{' ' * 15}# fast" in run["plan"]["diff"]


def test_an_evaluation_that_never_changes_is_no_overfitting() -> None:
    run = make_run({"train/loss": "2.5-0.01~0.02x150", "eval/loss": "2.418273x7"},
                   every={"eval/loss": 21})  # fmt: skip
    report = diagnose(run, RULES)
    assert {f.symptom for f in report.findings if f.severity != "info"} == {"no_eval"}
    assert all(finding.symptom != "converged" for finding in report.findings)
