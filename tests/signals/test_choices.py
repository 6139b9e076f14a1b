"""Settings that are no numbers: when validation leaks, what an adapter sits on, and the rest."""

from __future__ import annotations

import pytest

from advisor.rulebook.cases import make_run
from advisor.signals import View, resolve


def read(name: str, config: dict[str, object]) -> float | None:
    return resolve(name, View(make_run({}, config=config))).value


@pytest.mark.parametrize(
    ("train", "held", "expected"),
    [
        ("train", "train", 1),
        ("train", "train[:5%]", 1),
        ("train", "validation", 0),
        ("train[:90%]", "train[90%:]", 0),
        ("train[:90%]", "train[85%:]", 1),
        ("train[500:]", "train[:500]", 0),
        ("train[400:]", "train[:500]", 1),
        ("train[:90%]", "train[:500]", 1),
        ("train[10%:]", "train[:500]", None),
        ("train+test", "test", None),
        ("train[:-500]", "train[-500:]", None),
        ("", "train[:500]", 1),
    ],
)
def test_splits_of_one_data_set_are_compared(train: str, held: str, expected: float | None) -> None:
    config = {
        "dataset.path_or_dataset_id": "org/data",
        "dataset.split": train,
        "validation_dataset.path_or_dataset_id": "org/data",
        "validation_dataset.split": held,
    }
    assert read("setup.leaked", config) == expected


def test_other_data_do_not_leak() -> None:
    config = {
        "dataset.path_or_dataset_id": "a.jsonl",
        "validation_dataset.path_or_dataset_id": "b.jsonl",
    }
    assert read("setup.leaked", config) == 0


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["q_proj", "v_proj"], 1),
        (["model.layers.0.self_attn.q_proj"], 1),
        ("q_proj,k_proj,v_proj,o_proj", 1),
        (["q_proj", "gate_proj"], 0),
        ("all-linear", 0),
        ("*.proj", 0),
        ([], None),
        (None, None),
    ],
)
def test_adapters_on_attention_alone_are_told_from_wider_ones(
    targets: object, expected: float | None
) -> None:
    config: dict[str, object] = {"method": "lora", "peft.target_modules": targets}
    assert read("setup.attention_only", config) == expected


def test_plain_adam_is_told_from_adamw() -> None:
    decay = {"optimizer.weight_decay": 0.1}
    assert read("setup.adam_with_decay", decay | {"optimizer._target_": "torch.optim.Adam"}) == 1
    assert read("setup.adam_with_decay", decay | {"optimizer._target_": "torch.optim.AdamW"}) == 0
    assert read("setup.adam_with_decay", decay | {"optimizer._target_": "adamw_torch"}) == 0


def test_the_precision_of_the_arithmetic_counts_before_that_of_the_weights() -> None:
    assert read("setup.fp16", {"precision.amp": "bf16", "model.torch_dtype": "float16"}) == 0
    assert read("setup.fp16", {"model.torch_dtype": "torch.float16"}) == 1
    assert read("setup.fp16", {}) is None
