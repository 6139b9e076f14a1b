"""LoRA as one autograd function: the place where a kernel goes.

peft runs a frozen layer and its adapter as separate operations, each with an output of its own.
Here the adapter is added into the layer's output by the matrix product itself (addmm), forward and
backward, and only the input, the rank-r product and, with dropout, a mask are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from peft.tuners import lora as peft_lora
from torch import nn
from torch.autograd.function import FunctionCtx, once_differentiable

from train.model.quant import Weight, dense_weight


@dataclass(frozen=True, slots=True)
class Dropout:
    """``pre`` drops the adapter's input (peft), ``post`` its output (AutoModel's default)."""

    share: float
    position: Literal["pre", "post"]


class _LoraLinear(torch.autograd.Function):
    """x W' + bias + scale x (x A') B' for x of shape (tokens, in)."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        weight: Weight,
        bias: torch.Tensor | None,
        scale: float,
        dropout: Dropout | None,
    ) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            w = weight()
            a_, b_ = a.to(w.dtype), b.to(w.dtype)
            y = x @ w.T if bias is None else torch.addmm(bias.to(w.dtype), x, w.T)
            kept = None
            if dropout is None:
                h = x @ a_.T
                y.addmm_(h, b_.T, alpha=scale)
            elif dropout.position == "pre":
                kept = _keep(x, dropout.share)
                h = _drop_out(x, kept, dropout.share) @ a_.T
                y.addmm_(h, b_.T, alpha=scale)
            else:
                h = x @ a_.T
                kept = _keep(y, dropout.share)
                y += _drop_out((h @ b_.T).mul_(scale), kept, dropout.share)
        ctx.save_for_backward(x, a, b, h, kept)
        ctx.weight, ctx.scale, ctx.dropout = weight, scale, dropout
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, a, b, h, kept = ctx.saved_tensors
        drop, scale = ctx.dropout, ctx.scale
        # laid out and ordered for thin products: both twice as fast as g @ b and g.T @ h
        a_, b_rows = a.to(x.dtype), b.to(x.dtype).T.contiguous()
        post = drop is not None and drop.position == "post"
        out = _drop_out(g, kept, drop.share) if post else g
        gb = out @ b_rows.T
        pre = drop is not None and drop.position == "pre"
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = g @ ctx.weight()
            if pre:
                grad_x += _drop_out((gb @ a_).mul_(scale), kept, drop.share)
            else:
                grad_x.addmm_(gb, a_, alpha=scale)
        seen = _drop_out(x, kept, drop.share) if pre else x
        grad_a = (gb.T @ seen).to(a.dtype).mul_(scale)
        grad_b = (h.T @ out).T.to(b.dtype).mul(scale)
        return grad_x, grad_a, grad_b, None, None, None, None


def _keep(like: torch.Tensor, share: float) -> torch.Tensor:
    """Draw a mask as torch's dropout draws it on the CPU: the same seed drops the same places."""
    return torch.empty_like(like).bernoulli_(1 - share).bool()


def _drop_out(x: torch.Tensor, kept: torch.Tensor, share: float) -> torch.Tensor:
    return (x * kept).mul_(1 / (1 - share))


def lora_linear(
    x: torch.Tensor,
    adapter: tuple[torch.Tensor, torch.Tensor],
    weight: Weight,
    bias: torch.Tensor | None,
    scale: float,
    dropout: Dropout | None,
) -> torch.Tensor:
    """Apply the layer to an input of shape (..., in)."""
    y = _LoraLinear.apply(x.reshape(-1, x.shape[-1]), *adapter, weight, bias, scale, dropout)
    return y.view(*x.shape[:-1], y.shape[-1])


class _Fused:
    """Mixed into peft's layers: the fused path where it says the same as peft's own."""

    dropout_position: Literal["pre", "post"]

    def forward(self, x: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        name = self._single_plain_adapter()
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        base = self.get_base_layer()
        share = getattr(self.lora_dropout[name], "p", 0.0) if self.training else 0.0
        dropout = Dropout(share, self.dropout_position) if share else None
        adapter = (self.lora_A[name].weight, self.lora_B[name].weight)
        y = lora_linear(
            x.to(self._compute_dtype(x)),
            adapter,
            self._dense_weight(x),
            base.bias,
            self.scaling[name],
            dropout,
        )
        return y if torch.is_autocast_enabled(x.device.type) else y.to(x.dtype)

    def _single_plain_adapter(self) -> str | None:
        active = [name for name in self.active_adapters if name in self.lora_A]
        if self.disable_adapters or self.merged or len(active) != 1:
            return None
        plain = active[0] not in self.lora_variant and not self.lora_bias[active[0]]
        return active[0] if plain else None


class FusedLinear(_Fused, peft_lora.Linear):
    """Over nn.Linear, and over GPT-2's Conv1D, whose weight lies the other way round."""

    def _compute_dtype(self, x: torch.Tensor) -> torch.dtype:
        return self.get_base_layer().weight.dtype

    def _dense_weight(self, x: torch.Tensor) -> Weight:
        weight = self.get_base_layer().weight
        return lambda: weight.T if self.fan_in_fan_out else weight


class FusedLinear4bit(_Fused, getattr(peft_lora, "Linear4bit", nn.Module)):
    """Over bitsandbytes' 4-bit layer; the dense weight lives only while it is used."""

    def _compute_dtype(self, x: torch.Tensor) -> torch.dtype:
        dtype = self.get_base_layer().compute_dtype
        return x.dtype if dtype is None else dtype

    def _dense_weight(self, x: torch.Tensor) -> Weight:
        return dense_weight(self.get_base_layer(), self._compute_dtype(x))


def fuse(model: nn.Module, position: Literal["pre", "post"]) -> int:
    """Move peft's LoRA layers to the fused path; return how many took it.

    Layers of other kinds (DoRA, 8 bit) keep peft's own path.
    """
    kinds = {peft_lora.Linear: FusedLinear}
    if hasattr(peft_lora, "Linear4bit"):  # where bitsandbytes is installed
        kinds[peft_lora.Linear4bit] = FusedLinear4bit
    count = 0
    for module in model.modules():
        fused = kinds.get(type(module))
        if (
            fused is not None
            and not module.lora_variant
            and not _is_trained(module.get_base_layer())
        ):
            module.__class__ = fused
            module.dropout_position = position
            count += 1
    return count


def _is_trained(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters(recurse=False))
