"""The one-function RMSNorm against the models' own."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from tests.precision import BFLOAT16, FLOAT32  # noqa: E402
from train.model.norm import fuse_norms  # noqa: E402

COUNTS = {"llama": 5, "qwen3": 9, "gemma": 5, "gemma2": 9, "gemma3_text": 13, "gpt2": 0}


@pytest.mark.parametrize(("family", "count"), COUNTS.items())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_model(family, count, dtype, make_model):
    model = make_model(family).to(dtype).eval()
    fused = copy.deepcopy(model)
    assert fuse_norms(fused) == count
    norms = [name for name, m in model.named_modules() if type(m).__name__.endswith("RMSNorm")]
    for name in norms:
        mine, theirs = fused.get_submodule(name), model.get_submodule(name)
        torch.manual_seed(0)
        results = []
        for module in (mine, theirs):
            torch.manual_seed(0)
            x = torch.randn(2, 5, module.weight.numel()).to(dtype).requires_grad_()
            y = module(x)
            pull = torch.randn(y.shape).to(dtype)
            results.append((y, *torch.autograd.grad(y, (x, module.weight), pull)))
        for got, want in zip(*results, strict=True):
            near = FLOAT32 if dtype == torch.float32 else BFLOAT16
            torch.testing.assert_close(got, want, rtol=near, atol=near)


def test_a_norm_of_another_formula_is_left_alone(make_model):
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    class OddRMSNorm(LlamaRMSNorm):
        def forward(self, hidden_states):
            return super().forward(hidden_states) * 1.001

    model = make_model()
    model.model.norm.__class__ = OddRMSNorm
    assert fuse_norms(model) == 4
    assert type(model.model.norm) is OddRMSNorm


def test_a_frozen_weight_gets_no_gradient(make_model):
    model = make_model().requires_grad_(False)
    fuse_norms(model)
    x = torch.randn(1, 3, 32, requires_grad=True)
    model.model.norm(x).sum().backward()
    assert x.grad is not None
    assert model.model.norm.weight.grad is None


def test_fusing_twice_changes_nothing_and_the_state_keeps_its_names(make_model):
    model = make_model()
    names = set(model.state_dict())
    fuse_norms(model)
    assert fuse_norms(model) == 0
    assert set(model.state_dict()) == names
