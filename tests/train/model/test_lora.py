"""The fused LoRA layer against peft's own four operations."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tests.precision import DEEP32, FLOAT32  # noqa: E402
from train.config.types import PeftConfig  # noqa: E402
from train.model.adapters import with_adapter  # noqa: E402
from train.model.lora import Dropout, FusedLinear, fuse, lora_linear  # noqa: E402


def with_nonzero_b(model):
    """B starts at zero, where half of the gradients are zero too."""
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data.normal_(std=0.1)
    return model


def unfused(model):
    """The same model on peft's own path."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, FusedLinear):
            module.__class__ = FusedLinear.__mro__[2]
    return model


def run(model, seed=7):
    """Logits and gradients of every trained weight."""
    torch.manual_seed(seed)
    model.zero_grad()
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    logits = model(input_ids=ids, use_cache=False).logits
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def assert_same(got, want):
    size = float(want[0].abs().max())
    torch.testing.assert_close(got[0], want[0], rtol=0, atol=2 * FLOAT32 * size)
    assert got[1].keys() == want[1].keys()
    for name, gradient in want[1].items():
        near = 5 * FLOAT32 * float(gradient.abs().max())
        torch.testing.assert_close(got[1][name], gradient, rtol=0, atol=max(near, 1e-6))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "dim": 5}])
def test_fused_is_pefts_own_path_in_values_and_gradients(family, options, make_model):
    model, _ = with_adapter(make_model(family), PeftConfig(**options))
    with_nonzero_b(model).train()
    assert any(isinstance(m, FusedLinear) for m in model.modules())
    if family == "gpt2":
        model.eval()  # its own dropout draws in between
    assert_same(run(model), run(unfused(model)))


def test_dropout_before_the_adapter_drops_what_peft_drops(make_model):
    config = PeftConfig(dropout=0.3, dropout_position="pre")
    model, _ = with_adapter(make_model("llama"), config)
    with_nonzero_b(model).train()
    got, want = run(model), run(unfused(model))
    assert_same(got, want)
    assert not torch.allclose(run(model, seed=8)[0], got[0])


def test_dropout_after_the_adapter_is_dropout_of_its_output():
    torch.manual_seed(0)
    x, w, bias = torch.randn(6, 10), torch.randn(12, 10), torch.randn(12)
    parts = [t.requires_grad_() for t in (x, torch.randn(4, 10), torch.randn(12, 4))]
    torch.manual_seed(1)
    got = lora_linear(x, (parts[1], parts[2]), lambda: w, bias, 0.5, Dropout(0.4, "post"))
    torch.manual_seed(1)
    delta = torch.nn.functional.dropout(x @ parts[1].T @ parts[2].T * 0.5, 0.4)
    want = x @ w.T + bias + delta
    torch.testing.assert_close(got, want)
    pull = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad(got, parts, pull), torch.autograd.grad(want, parts, pull), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=FLOAT32, atol=FLOAT32)


def test_gradients_pass_a_numeric_check():
    torch.manual_seed(0)
    x, a, b = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((5, 6), (3, 6), (4, 3))
    )
    w, bias = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *t: lora_linear(t[0], (t[1], t[2]), lambda: w, bias, 1.7, None), (x, a, b)
    )


def test_without_dropout_in_evaluation(make_model):
    model, _ = with_adapter(make_model(), PeftConfig(dropout=0.5))
    with_nonzero_b(model).eval()
    assert torch.equal(run(model, seed=1)[0], run(model, seed=2)[0])


def test_a_disabled_or_merged_adapter_takes_pefts_path(make_model):
    base = make_model()
    ids = torch.tensor([[5, 6, 7]])
    plain = base(input_ids=ids).logits
    model, _ = with_adapter(base, PeftConfig())
    with_nonzero_b(model).eval()
    adapted = model(input_ids=ids).logits
    with model.disable_adapter():
        torch.testing.assert_close(model(input_ids=ids).logits, plain)
    model.merge_adapter()
    torch.testing.assert_close(model(input_ids=ids).logits, adapted, rtol=DEEP32, atol=DEEP32)
    assert not torch.allclose(adapted, plain)


def test_dora_keeps_pefts_own_path_and_trains(make_model):
    model, notices = with_adapter(make_model(), PeftConfig(use_dora=True, dropout=0.1))
    with_nonzero_b(model).eval()
    assert not any(isinstance(m, FusedLinear) for m in model.modules())
    assert "pre" in notices[0]
    _, gradients = run(model)
    assert any("magnitude" in name for name in gradients)


def test_fusing_twice_changes_nothing(make_model):
    model, _ = with_adapter(make_model(), PeftConfig())
    assert fuse(model, "post") == 0


def test_in_bf16_it_is_as_near_to_fp32_as_peft_and_its_gradients_are_fp32(make_model):
    """On the mean of four models: of one, chance decides whose roundings fall better."""
    shares = []
    for seed in range(4):
        model, _ = with_adapter(make_model(seed=seed).to(torch.bfloat16), PeftConfig())
        with_nonzero_b(model).eval()
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
        got, theirs, exact = run(model), run(unfused(model)), run(copy.deepcopy(model).float())
        assert got[0].dtype == torch.bfloat16
        assert {gradient.dtype for gradient in got[1].values()} == {torch.float32}
        shares.append([off(each, exact) for each in (got, theirs)])
    mine, other = torch.tensor(shares).mean(0)
    assert bool((mine <= 2 * other).all()), (mine, other)


def off(found, exact):
    """How far logits and gradients are from those of fp32, as a share of their size."""
    logits = float((found[0].float() - exact[0]).norm() / exact[0].norm())
    whole = [torch.cat([g.flatten() for _, g in sorted(r[1].items())]) for r in (found, exact)]
    return logits, float((whole[0].float() - whole[1]).norm() / whole[1].norm())
