"""Recommended ranges by method and samples, and the signals that compare a setup with them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.config.ranges import load_ranges, range_for, scale_of, warmup_range
from advisor.dialects.keys import CANONICAL_KEYS
from advisor.rulebook.cases import make_run
from advisor.signals import SIGNALS, View, resolve

METHODS = ("full", "lora", "dora", "qlora", "", "other")


def read(name: str, **parts: object) -> float | None:
    series = parts.pop("series", {})
    return resolve(name, View(make_run(series, **parts))).value  # type: ignore[arg-type]


def test_the_bounds_of_the_scales_belong_to_medium() -> None:
    assert [scale_of(n) for n in (4999, 5000, 50_000, 50_001)] == [
        "small", "medium", "medium", "large",
    ]  # fmt: skip


def test_the_range_follows_the_method_and_the_samples() -> None:
    full, lora = range_for("optimizer.lr", "full", 1000), range_for("optimizer.lr", "lora", 1000)
    assert full is not None and lora is not None
    assert (full.low, full.high) == (1e-6, 5e-6)
    assert (lora.low, lora.high) == (1e-5, 5e-5)


def test_with_unknown_samples_the_range_spans_all_scales() -> None:
    found = range_for("optimizer.lr", "full", None)
    assert found is not None
    assert (found.low, found.high) == (1e-6, 3e-5)


def test_a_method_without_a_range_takes_that_of_its_relative() -> None:
    assert range_for("step_scheduler.num_epochs", "qlora", 1000) == range_for(
        "step_scheduler.num_epochs", "lora", 1000
    )
    assert range_for("peft.dim", "dora", 1000) == range_for("peft.dim", "lora", 1000)


def test_what_has_no_range_gives_none() -> None:
    assert range_for("peft.dim", "full", 1000) is None
    assert range_for("rng.seed", "lora", 1000) is None


@pytest.mark.parametrize("row", load_ranges(), ids=lambda row: row.guide)
def test_every_row_says_why_and_has_bounds_in_order(row: object) -> None:
    found = range_for(row.key, row.method, None)  # type: ignore[attr-defined]
    assert found is not None and found.why
    assert found.allowed or found.low <= found.high  # type: ignore[operator]


@pytest.mark.parametrize("steps", [1, 20, 100, 499, 500, 2000, 5000, 5001, 100_000])
def test_a_tenth_up_to_a_thousand_steps_of_warmup_is_always_in_range(steps: int) -> None:
    low, high = warmup_range(steps)
    assert low <= min(1000, 0.1 * steps) <= high


def test_a_value_is_compared_with_the_bound_of_its_range() -> None:
    config = {"method": "lora", "data.samples": 1000, "optimizer.lr": 1e-4}
    assert read("setup.lr_over_range", config=config) == pytest.approx(2)
    assert read("setup.lr_under_range", config=config) == pytest.approx(0.1)


def test_the_rate_is_read_from_the_log_where_the_config_lacks_it() -> None:
    series = {"train/lr": "1e-5+1e-5x10 1e-4-1e-6x90"}
    assert read("setup.lr", series=series) == pytest.approx(1e-4)
    config = {"optimizer.lr": 5e-5}
    assert read("setup.lr", series=series, config=config) == pytest.approx(5e-5)


def test_samples_are_counted_as_really_used() -> None:
    config = {"data.samples": 52_000, "dataset.limit_dataset_samples": 1000}
    assert read("setup.samples", config=config) == 1000


def test_samples_are_counted_in_the_log_where_nothing_states_them() -> None:
    parts = {"series": {"train/loss": "1x100"}, "epochs": 2.0}
    config = {"step_scheduler.global_batch_size": 8}
    assert read("setup.samples", config=config, **parts) == 400


def test_the_global_batch_is_put_together_from_its_parts() -> None:
    config = {
        "step_scheduler.local_batch_size": 2,
        "step_scheduler.grad_acc_steps": 4,
        "data.parallel": 2,
    }
    assert read("setup.global_batch", config=config) == 16


def test_a_ratio_of_warmup_counts_by_the_length_of_the_run() -> None:
    config = {"lr_scheduler.lr_warmup_ratio": 0.1}
    assert read("setup.warmup_steps", config=config, facts={"max_steps": 300}) == 30


def test_clipping_is_on_by_default_where_the_trainer_is_known() -> None:
    assert read("setup.clips") is None
    assert read("setup.clips", config={"clip_grad_norm.max_norm": 0}) == 0


@pytest.mark.parametrize("config", [{}, {"method": "lora"}, {"method": 3, "peft.dim": "many"}])
def test_odd_and_absent_values_are_unknown_and_no_crash(config: dict[str, object]) -> None:
    for name in ("setup.rank_over_range", "setup.alpha_ratio", "setup.lr_over_range"):
        assert read(name, config=config) is None


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.text(max_size=4), max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(CANONICAL_KEYS)), odd), st.sampled_from(METHODS))
@settings(deadline=None)
def test_no_config_makes_a_signal_fail_or_give_nan(config: dict[str, object], method: str) -> None:
    view = View(make_run({"train/loss": "2-0.01x40"}, config=config | {"method": method}))
    for name in SIGNALS:
        if name.startswith("setup."):
            value = resolve(name, view).value
            assert value is None or math.isfinite(value), name
