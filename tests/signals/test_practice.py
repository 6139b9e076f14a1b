"""Signals on what people meet beyond the guide."""

from __future__ import annotations

import math

import pytest

from advisor.rulebook.cases import make_run
from advisor.signals import View, resolve


def read(name: str, series: dict[str, str] | None = None, **more: object) -> float | None:
    run = make_run(series or {}, **more)  # type: ignore[arg-type]
    return resolve(name, View(run)).value


def test_the_first_loss_is_held_against_a_guess_among_all_tokens() -> None:
    series = {"train/loss": "10>2x40"}
    of_guess = read("loss.first_of_guess", series, config={"model.vocab_size": 32000})
    assert of_guess == pytest.approx(10 / math.log(32000))
    assert read("loss.first_of_guess", series, facts={"vocab_size": 32000}) == of_guess
    assert read("loss.first_of_guess", series) is None


def test_training_over_validation_loss_is_taken_late_in_the_run() -> None:
    series = {"train/loss": "9>4x40 4x40", "eval/loss": "1 1 1 1 1 1 1 1"}
    assert read("loss.over_eval", series, every={"eval/loss": 10}) == pytest.approx(4, rel=0.01)


def test_micro_batches_are_stated_or_worked_out() -> None:
    sizes = {"step_scheduler.global_batch_size": 64, "step_scheduler.local_batch_size": 4}
    assert read("setup.accumulation", config={"step_scheduler.grad_acc_steps": 8}) == 8
    assert read("setup.accumulation", config={**sizes, "data.parallel": 2}) == 8
    assert read("setup.accumulation") is None


@pytest.mark.parametrize(("version", "wrong"), [("4.45.2", 0), ("4.46.0", 1), ("4.48.0", 0)])
def test_versions_that_sum_wrongly_are_known(version: str, wrong: float) -> None:
    assert read("setup.sums_wrong", config={"model.transformers_version": version}) == wrong


@pytest.mark.parametrize(
    ("name", "risky"),
    [("google/gemma-2-9b", 1), ("Qwen/Qwen2-1.5B", 1), ("t5-large", 1), ("gpt2", 0)],
)
def test_float16_is_risky_on_models_of_bfloat16(name: str, risky: float) -> None:
    config = {"model.pretrained_model_name_or_path": name, "precision.amp": "fp16"}
    assert read("setup.bf16_model", config=config) == risky


def test_new_tokens_need_trained_embeddings() -> None:
    config = {"method": "lora", "tokenizer.added_tokens": ["<a>"]}
    assert read("setup.new_tokens", config=config) == 1
    saved = {**config, "peft.modules_to_save": ["embed_tokens"]}
    assert read("setup.new_tokens", config=saved) == 0
    assert read("setup.new_tokens", config={**config, "method": "full"}) == 0


def test_a_gradient_norm_that_stands_still_above_zero_is_constant() -> None:
    assert read("grad.constant", {"train/grad_norm": "1.5x20"}) == 1
    assert read("grad.constant", {"train/grad_norm": "0x20"}) == 0
    assert read("grad.constant", {"train/grad_norm": "1.5~0.1x20"}) == 0


@pytest.mark.parametrize(("processes", "ends"), [(4, 1.0), (2, 0.0), (1, 0.0)])
def test_a_schedule_over_at_a_quarter_was_stepped_by_each_of_four(
    processes: int, ends: float
) -> None:
    series = {"train/lr": "1e-4-4e-6x25 0x75"}
    assert read("lr.ends_per_process", series, config={"data.parallel": processes}) == ends


@pytest.mark.parametrize(
    ("name", "other"),
    [("facebook/wav2vec2-base", 1), ("google/mt5-small", 1), ("Qwen/Qwen2.5-7B", 0)],
)
def test_models_of_other_tasks_are_known_by_name(name: str, other: float) -> None:
    assert read("setup.other_task", config={"model.pretrained_model_name_or_path": name}) == other


def test_a_word_error_rate_tells_of_another_task() -> None:
    assert read("setup.other_task", {"train/loss": "3>1x20", "eval/wer": "1 0.5"}) == 1
    assert read("setup.other_task", {"train/loss": "3>1x20", "eval/loss": "1 0.5"}) == 0


def test_a_vocabulary_has_grown_where_new_tokens_are_trained() -> None:
    config = {"method": "lora", "tokenizer.added_tokens": ["<a>"]}
    saved = {**config, "peft.modules_to_save": ["embed_tokens", "lm_head"]}
    assert read("setup.grown_vocabulary", config=saved) == 1
    assert read("setup.grown_vocabulary", config=config) == 0
