"""The loss: hidden states at label positions, the head and cross entropy in chunks of rows.

The full logits never exist. The gradient of a chunk is worked out while its logits are at hand,
so that the head is not run again in the backward pass: two products of the head's size where it is
frozen (logits, gradient of the hidden states), three where it is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

CHUNK_ELEMENTS = {"cpu": 2**23, "cuda": 2**26}  # the products want some hundred rows


@dataclass(frozen=True, slots=True)
class HeadForm:
    """logits = cap x tanh(scale x (hidden W' + bias) / cap); no cap: without the tanh."""

    scale: float = 1.0
    softcap: float | None = None


class _SummedLoss(torch.autograd.Function):
    """Sum of token losses of (tokens, d) hidden states; gradients are made in forward."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        form: HeadForm,
        wanted: tuple[bool, bool, bool],
    ) -> torch.Tensor:
        dtype = _compute_dtype(hidden, weight)
        w = weight.to(dtype)
        grads = _buffers((hidden, weight, bias), wanted)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        limit = CHUNK_ELEMENTS.get(hidden.device.type, 2**26)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, labels.numel(), max(1, limit // w.shape[0])):
                rows = slice(start, start + max(1, limit // w.shape[0]))
                h = hidden[rows].to(dtype)
                total += _chunk(h, w, bias, labels[rows], form, _rows_of(grads, rows))
        ctx.save_for_backward(*(g for g in grads if g is not None))
        ctx.wanted = [g is not None for g in grads]
        ctx.dtypes = (hidden.dtype, weight.dtype, None if bias is None else bias.dtype)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        grads = [
            (next(saved) * upstream).to(dtype) if wanted else None
            for wanted, dtype in zip(ctx.wanted, ctx.dtypes, strict=True)
        ]
        return *grads, None, None, None


Grads = tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]


def _chunk(
    h: torch.Tensor,
    w: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    form: HeadForm,
    grads: Grads,
) -> torch.Tensor:
    """Return the chunk's summed loss; its gradients are written into ``grads``."""
    logits = (h @ w.T).float()
    if bias is not None:
        logits += bias.float()
    if form.scale != 1.0:
        logits *= form.scale
    slope = None
    if form.softcap is not None:
        bent = torch.tanh(logits.div_(form.softcap))
        slope = 1 - bent.square() if any(g is not None for g in grads) else None
        logits = bent.mul_(form.softcap)
    index = labels[:, None]
    logits -= logits.amax(1, keepdim=True)
    chosen = logits.gather(1, index)
    mass = logits.exp_().sum(1, keepdim=True)
    loss = (mass.log() - chosen).sum()
    if all(g is None for g in grads):
        return loss
    # d loss / d logits x mass: rows are divided where they are short, not over the vocabulary
    logits.scatter_add_(1, index, -mass)
    if slope is not None:
        logits *= slope
    _write(grads, logits, h, w, form.scale / mass)
    return loss


def _write(
    grads: Grads, raw: torch.Tensor, h: torch.Tensor, w: torch.Tensor, factor: torch.Tensor
) -> None:
    to_hidden, to_weight, to_bias = grads
    if to_bias is not None:
        to_bias += (raw * factor).sum(0)
    raw = raw.to(w.dtype)
    if to_hidden is not None:
        torch.mul(raw @ w, factor, out=to_hidden)
    if to_weight is not None:
        scaled = (h * factor).to(w.dtype)
        if w.dtype == to_weight.dtype:
            to_weight.addmm_(raw.T, scaled)
        else:
            to_weight += raw.T @ scaled


def _compute_dtype(hidden: torch.Tensor, weight: torch.Tensor) -> torch.dtype:
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def _buffers(tensors: tuple[torch.Tensor | None, ...], wanted: tuple[bool, ...]) -> Grads:
    """Return fp32 buffers for the gradients that are needed."""
    hidden, weight, bias = (
        torch.zeros_like(t, dtype=torch.float32) if t is not None and need else None
        for t, need in zip(tensors, wanted, strict=True)
    )
    return hidden, weight, bias


def _rows_of(grads: Grads, rows: slice) -> Grads:
    to_hidden, to_weight, to_bias = grads
    return None if to_hidden is None else to_hidden[rows], to_weight, to_bias


def sum_losses(
    hidden: torch.Tensor,
    head: torch.nn.Module,
    labels: torch.Tensor,
    form: HeadForm,
) -> torch.Tensor:
    """Return the sum of cross entropies of ``hidden`` (tokens, d), one label each, as an fp32
    scalar."""
    bias = getattr(head, "bias", None)
    grad = torch.is_grad_enabled()
    wanted = tuple(grad and t is not None and t.requires_grad for t in (hidden, head.weight, bias))
    return _SummedLoss.apply(hidden, head.weight, bias, labels, form, wanted)
