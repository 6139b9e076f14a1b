"""Adapters over 4-bit and 8-bit weights, on the CPU."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("bitsandbytes")

from tests.precision import FLOAT32  # noqa: E402
from train.config.types import (  # noqa: E402
    DatasetConfig,
    ModelConfig,
    PeftConfig,
    QuantConfig,
    TrainConfig,
)
from train.errors import TrainConfigError  # noqa: E402
from train.model.forward import loss_sum  # noqa: E402
from train.model.load import load_model  # noqa: E402
from train.model.lora import FusedLinear4bit  # noqa: E402

NF4 = QuantConfig(load_in_4bit=True, bnb_4bit_compute_dtype="float32")


def load(folder, quantization=NF4, peft=PeftConfig(), **model):  # noqa: B008
    torch.manual_seed(0)
    return load_model(
        TrainConfig(
            model=ModelConfig(pretrained_model_name_or_path=str(folder), **model),
            dataset=DatasetConfig(kind="columns"),
            peft=peft,
            quantization=quantization,
        )
    )


def with_nonzero_b(loaded):
    torch.manual_seed(3)
    for name, parameter in loaded.trainable:
        if ".lora_B." in name:
            parameter.data.normal_(std=0.1)
    return loaded


def gradients(model, batch):
    model.zero_grad()
    loss, tokens = loss_sum(model, batch)
    (loss / tokens).backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("quant", [NF4, QuantConfig(load_in_8bit=True)], ids=["nf4", "int8"])
def test_it_learns_on_the_cpu(quant, saved, batch):
    loaded = load(saved(hidden_size=64), quant)
    optimizer = torch.optim.AdamW([p for _, p in loaded.trainable], lr=1e-2)
    losses = []
    for _ in range(6):
        loss, tokens = loss_sum(loaded.model, batch)
        (loss / tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / tokens)
    assert losses[-1] < losses[0] - 0.1
    assert {p.dtype for _, p in loaded.trainable} == {torch.float32}


@pytest.mark.parametrize("double", [True, False])
def test_fused_over_4_bits_is_pefts_own_path(double, saved, batch):
    quant = QuantConfig(
        load_in_4bit=True, bnb_4bit_compute_dtype="float32", bnb_4bit_use_double_quant=double
    )
    model = with_nonzero_b(load(saved(hidden_size=64), quant)).model
    kinds = [m for m in model.modules() if isinstance(m, FusedLinear4bit)]
    assert len(kinds) == 14
    loss, got = gradients(model, batch)
    for module in kinds:
        module.__class__ = FusedLinear4bit.__mro__[2]
    theirs, want = gradients(model, batch)
    assert loss == pytest.approx(theirs, rel=FLOAT32)
    for name, gradient in want.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=1e-4 * size)


def test_an_evaluation_in_between_does_not_end_the_training(saved, batch):
    config = PeftConfig(target_modules=("o_proj",))  # the rest runs bitsandbytes' own layer
    model = with_nonzero_b(load(saved(hidden_size=64), peft=config)).model
    before = copy.deepcopy(gradients(model, batch))
    model.eval()
    with torch.no_grad():
        held_out = loss_sum(model, batch)[0].item()
    model.train()
    after = gradients(model, batch)
    assert held_out == pytest.approx(before[0], rel=FLOAT32)
    assert after[0] == before[0]
    for name, gradient in before[1].items():
        assert float(gradient.abs().max()) > 0
        assert torch.equal(after[1][name], gradient)


def test_the_guides_bf16_settings_load(saved, batch):
    loaded = load(saved(hidden_size=64), QuantConfig(load_in_4bit=True), dtype="bfloat16")
    loss, grads = gradients(loaded.model, batch)
    assert loss > 0
    assert all(g.isfinite().all() for g in grads.values())


@pytest.mark.parametrize(
    ("quant", "peft", "message"),
    [
        (NF4, None, "add a peft section"),
        (QuantConfig(), PeftConfig(), "one of load_in_4bit and load_in_8bit"),
        (QuantConfig(load_in_4bit=True, load_in_8bit=True), PeftConfig(), "one of"),
        (QuantConfig(load_in_4bit=True, bnb_4bit_quant_type="nf8"), PeftConfig(), "nf4 or fp4"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(quant, peft, message, saved):
    with pytest.raises(TrainConfigError, match=message):
        load(saved(), quant, peft)
