"""One answer to which range: the rule's, the plan's and the strategy's; and rates in order."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.config.attach import load_config
from advisor.config.ranges import KeyRange, range_for, top_of, width_of, with_field
from advisor.diagnosis import diagnose
from advisor.plan.make import make_plan
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules
from advisor.run import Config, Run
from advisor.signals import View, resolve
from advisor.signals.rates import range_of
from tests.plans import LR, by_key, finding, times

RULES = load_rules()
GRID = [float(f"{m}e{e}") for e in range(-9, 1) for m in (1, 1.3, 2, 3, 5, 6, 8, 9.9)]
METHODS = ("full", "lora", "dora", "qlora", None)
SAMPLES = (None, 160, 20_000, 90_000)
FACTORS = sorted({e.operand for r in RULES for e in r.edits if e.key == LR and e.operand})
CURVES = {
    "diverges": {"train/loss": "2.4>1.1~0.02x64 3.6~0.1x56"},
    "blows up": {"train/loss": "2.1 9.8 10.4 10.1~0.2x40"},
    "spikes": {"train/loss": "3>1.5~0.03x80 5 4.2 1.5~0.03x30 5.5 3 1.5~0.03x30 5 4 1.5~0.03x50"},
    "barely moves": {"train/loss": "2.5~0.02x200"},
    "falls slowly": {"train/loss": "2.4-0.002~0.02x200"},
    "NaN at once": {"train/loss": "2 2.1 nanx80"},
    "NaN late": {"train/loss": "3>1.5~0.03x80 nanx40"},
}


def setup(method: str | None, samples: int | None, rate: float) -> dict[str, object]:
    values = {"method": method, "data.samples": samples, LR: rate, "precision.amp": "bf16"}
    return {key: value for key, value in values.items() if value is not None}


def advised(run: Run, *edits: object) -> float | None:
    """The rate that a plan asks for; None where it leaves the rate alone."""
    found = [finding("A1", *edits)] if edits else diagnose(run, RULES).findings  # type: ignore[arg-type]
    edit = by_key(make_plan(found, run.config, run)).get(LR)
    return None if edit is None or not edit.resolved else float(edit.new)  # type: ignore[arg-type]


@given(st.sampled_from(FACTORS), st.sampled_from(METHODS), st.sampled_from(SAMPLES))
@settings(deadline=None)
def test_a_higher_rate_in_is_no_lower_rate_out_and_none_is_raised_more_than_tenfold(
    by: float, method: str | None, samples: int | None
) -> None:
    last = 0.0
    for rate in GRID:
        run = make_run({}, config=setup(method, samples, rate))
        new = advised(run, times(LR, by))
        if new is None:
            continue
        assert last <= new <= rate * 10 * (1 + 1e-9), (rate, last, new)
        assert new < rate if by < 1 else new > rate
        last = new


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("curve", CURVES)
def test_what_is_advised_for_one_curve_follows_the_order_of_the_rates(
    curve: str, method: str | None
) -> None:
    last = 0.0
    for rate in GRID[::3]:
        new = advised(make_run(CURVES[curve], config=setup(method, 2000, rate)))
        assert new is None or last <= new <= rate * 10 * (1 + 1e-9), (rate, last, new)
        last = new or last


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_rule_plan_and_strategy_name_one_range(method: str, samples: int | None) -> None:
    run = make_run({"train/loss": "2>1~0.02x40"}, config=setup(method, samples, 1e-2), epochs=3)
    bounds = range_of(LR, run)
    assert bounds is not None and bounds.high is not None
    view = View(run)
    names = ("setup.lr_low", "setup.lr_high", "setup.lr_field_high")
    said = [resolve(name, view).value for name in names]
    assert said == [bounds.low, bounds.high, bounds.field_high]
    plan = make_plan([finding("A1", times(LR, 0.3))], run.config, run)
    assert f"the range, which ends at {bounds.high:g}" in by_key(plan)[LR].note
    assert range_of(LR, Run("", "", {}, config=run.config)) == bounds  # what a strategy knows


@pytest.mark.parametrize("name", ["trl", "llamafactory", "axolotl", "automodel"])
def test_the_language_of_a_config_does_not_change_the_range(name: str, tmp_path: Path) -> None:
    text = {
        "trl": "learning_rate: 1e-2\nuse_peft: true\nlora_r: 8\nlora_alpha: 16\n"
        "num_train_epochs: 3\nper_device_train_batch_size: 4\n",
        "llamafactory": "learning_rate: 1e-2\nfinetuning_type: lora\nlora_rank: 8\n"
        "num_train_epochs: 3\nper_device_train_batch_size: 4\nstage: sft\n",
        "axolotl": "learning_rate: 1e-2\nadapter: lora\nlora_r: 8\nlora_alpha: 16\n"
        "num_epochs: 3\nmicro_batch_size: 4\nbase_model: some/model\n",
        "automodel": "optimizer: {_target_: torch.optim.AdamW, lr: 1.0e-2}\npeft: {dim: 8}\n"
        "step_scheduler: {num_epochs: 3, global_batch_size: 4, local_batch_size: 4}\n"
        "model: {pretrained_model_name_or_path: some/model}\n",
    }[name]
    path = tmp_path / "config.yaml"
    path.write_text(text)
    run = make_run(CURVES["diverges"], epochs=3, config={})  # 120 steps of 4: 160 samples
    run = dataclasses.replace(run, config=load_config(path))
    found = diagnose(run, RULES).findings
    said = next(f.message for f in found if f.code == "CFG001")
    assert "1e-05 to 5e-05" in said, said
    note = by_key(make_plan(found, run.config, run))[LR].note
    assert "the range, which ends at 5e-05" in note, note


def test_the_rate_of_another_optimiser_has_no_range() -> None:
    config: dict[str, object] = {"method": "full", LR: 0.1, "optimizer._target_": "torch.optim.SGD"}
    run = make_run({"train/loss": "2>1~0.02x64 4~0.1x60"}, config=config)
    assert range_of(LR, run) is None
    assert range_of("step_scheduler.num_epochs", run) is not None
    assert resolve("setup.lr_excess", View(run)).value == 0
    assert by_key(make_plan([finding("A1", times(LR, 0.3))], run.config, run))[LR].new == 0.03


def field_of(method: str, steps: float | None = None, model: str = "") -> KeyRange:
    known = range_for(LR, method, None)
    assert known is not None
    return with_field(known, method, steps, model)


def test_later_work_goes_further_than_the_guide() -> None:
    best = {m: field_of(m).field_best or 0.0 for m in ("full", "lora", "qlora")}
    assert best["lora"] == pytest.approx(10 * best["full"]) == best["qlora"]
    assert field_of("lora", 99).field_best == pytest.approx(15 * best["full"])
    for method, rate in best.items():
        assert rate > (top_of(LR, method) or math.inf)
    rank = range_for("peft.dim", "lora", None)
    assert rank is not None and with_field(rank, "lora", None, "") == rank


def test_a_wide_llama_takes_less_and_a_wide_qwen_hardly_does() -> None:
    def best(model: str) -> float:
        return field_of("lora", None, model).field_best or 0.0

    middle = 5e-4 * (2000 / 4096) ** 0.78
    assert best("meta-llama/Llama-3.1-8B") == pytest.approx(middle, rel=0.05)
    assert best("meta-llama/Llama-3.1-70B") < best("meta-llama/Llama-3.1-8B") / 1.5
    assert best("Qwen/Qwen2.5-72B") > 0.8 * best("Qwen/Qwen2.5-7B")
    assert best("/data/llama/mistral-7b") == 5e-4  # no family that was swept


@pytest.mark.parametrize(
    ("name", "width"),
    [("Llama-3.2-1B", 2048), ("meta-llama/Llama-3.1-8B-Instruct", 4096), ("Llama-70b-hf", 8192),
     ("qwen3-30b-a3b", 6300), ("gpt2", None), ("mixtral-8x7b", None), ("bert-3base", None)],
)  # fmt: skip
def test_the_width_of_a_model_is_guessed_from_its_name(name: str, width: int | None) -> None:
    assert width_of(name) == (width and pytest.approx(width, rel=0.1))


@pytest.mark.parametrize(
    ("rate", "by", "wanted"),
    [(3e-4, 0.5, 1.5e-4), (2e-3, 0.5, 5e-4), (6e-3, 0.3, 6e-4), (1e-2, 0.3, 1e-3),
     (1.0, 0.3, 6e-3), (5e-5, 5, 1e-4), (1e-4, 5, 5e-4), (1e-6, 3, 1e-5), (2e-5, 0.1, 1e-5)],
)  # fmt: skip
def test_a_rate_moves_by_its_rules_factor_and_from_far_off_by_a_tenth_at_most(
    rate: float, by: float, wanted: float
) -> None:
    config = Config({"method": "lora", "data.samples": 20_000, LR: rate})  # guide: 1e-5 to 1e-4
    run = Run("run", "case", {}, config=config)
    assert advised(run, times(LR, by)) == pytest.approx(wanted)
    note = by_key(make_plan([finding("A1", times(LR, by))], config, run))[LR].note
    assert ("the range, which ends at 0.0001" in note) == (by < 1 and wanted > 1e-4)
