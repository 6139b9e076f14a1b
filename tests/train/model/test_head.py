"""The loss head against cross entropy of the full logits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from train.model import head as head_module  # noqa: E402
from train.model.head import HeadForm, sum_losses  # noqa: E402


def full(hidden, head, labels, form):
    logits = head(hidden).float() * form.scale
    if form.softcap is not None:
        logits = torch.tanh(logits / form.softcap) * form.softcap
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", [HeadForm(), HeadForm(0.3), HeadForm(2.0, 5.0)])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_loss_and_gradients_are_those_of_the_full_logits(bias, form, rows, monkeypatch):
    monkeypatch.setitem(head_module.CHUNK_ELEMENTS, "cpu", rows * 50)
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=bias)
    hidden = (3 * torch.randn(11, 8)).requires_grad_()
    labels = torch.randint(50, (11,))
    wanted = [hidden, *head.parameters()]
    got, want = (loss(hidden, head, labels, form) for loss in (sum_losses, full))
    torch.testing.assert_close(got, want)
    pairs = zip(
        torch.autograd.grad(got / 7, wanted), torch.autograd.grad(want / 7, wanted), strict=True
    )
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_a_frozen_head_gets_no_gradient():
    head = torch.nn.Linear(8, 50, bias=False).requires_grad_(False)
    hidden = torch.randn(3, 8, requires_grad=True)
    sum_losses(hidden, head, torch.tensor([1, 2, 3]), HeadForm()).backward()
    assert head.weight.grad is None
    assert hidden.grad is not None


def test_huge_logits_neither_overflow_nor_vanish():
    head = torch.nn.Linear(4, 20, bias=False)
    hidden = (1e4 * torch.randn(5, 4)).requires_grad_()
    labels = torch.arange(5)
    loss = sum_losses(hidden, head, labels, HeadForm())
    torch.testing.assert_close(loss, full(hidden, head, labels, HeadForm()))
    loss.backward()
    assert bool(hidden.grad.isfinite().all())


def test_a_nan_in_the_hidden_states_reaches_the_loss():
    head = torch.nn.Linear(4, 20)
    hidden = torch.full((2, 4), float("nan"), requires_grad=True)
    assert bool(sum_losses(hidden, head, torch.tensor([1, 2]), HeadForm()).isnan())


def test_nothing_is_kept_without_gradients():
    head = torch.nn.Linear(4, 20)
    with torch.no_grad():
        loss = sum_losses(torch.randn(2, 4), head, torch.tensor([1, 2]), HeadForm())
    assert loss.grad_fn is None
