"""RMSNorm as one autograd function: on a CPU the model's own costs as much as a small layer.

Models write it as seven operations, each over all hidden states, and autograd keeps three of the
results. Here the input and one number a token are kept. A module is changed only where a trial
shows the same values.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.autograd.function import FunctionCtx, once_differentiable

_TRIAL_TOKENS = 3
_EPSILONS = ("variance_epsilon", "eps", "epsilon")


class _RMSNorm(torch.autograd.Function):
    """x / rms(x) x (offset + weight), in fp32 whatever x is."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float
    ) -> torch.Tensor:
        wide = x.float()
        # vector_norm reads x once and makes no square of it
        mean = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean.add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        ctx.offset = offset
        return (wide * inverse).mul_(weight.float() + offset).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        wide, g = x.float(), g.float()
        grad_x = grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (g * wide).mul_(inverse).flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            inner = g * (weight.float() + ctx.offset)
            share = torch.linalg.vecdot(inner, wide)[..., None]
            share.mul_(inverse.pow(3)).div_(-x.shape[-1])
            grad_x = inner.mul_(inverse).addcmul_(wide, share).to(x.dtype)
        return grad_x, grad_weight, None, None


class _Fused:
    """Mixed into a model's own norm class."""

    norm_eps: float
    norm_offset: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return _RMSNorm.apply(hidden_states, self.weight, self.norm_eps, self.norm_offset)


def fuse_norms(model: nn.Module) -> int:
    """Replace the RMSNorms that compute the same as ours; return how many."""
    kinds: dict[type, type] = {}
    count = 0
    for module in model.modules():
        cls = type(module)
        if not cls.__name__.endswith("RMSNorm") or isinstance(module, _Fused):
            continue
        offset = _offset_of(module)
        if offset is None:
            continue
        module.norm_eps, module.norm_offset = _eps_of(module), offset
        module.__class__ = kinds.setdefault(cls, type(cls.__name__, (_Fused, cls), {}))
        count += 1
    return count


def _eps_of(module: nn.Module) -> float | None:
    return next((getattr(module, n) for n in _EPSILONS if hasattr(module, n)), None)


def _offset_of(module: nn.Module) -> float | None:
    """Return the offset added to the weight (Gemma: 1) at which ours gives the module's values."""
    eps, weight = _eps_of(module), getattr(module, "weight", None)
    if not isinstance(eps, float) or weight is None or weight.dim() != 1:
        return None
    # tokens of very different sizes, so that eps counts as well
    sizes = torch.tensor([1.0, 1e-3, 30.0], device=weight.device)[:, None]
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(_TRIAL_TOKENS, weight.numel(), generator=draw).to(weight.device) * sizes
    x = x.to(weight.dtype)
    try:
        with torch.no_grad():
            want = module(x)
            for offset in (0.0, 1.0):
                if _same(_RMSNorm.apply(x, weight, eps, offset), want):
                    return offset
    except (TypeError, RuntimeError, ValueError):  # it takes other arguments: leave it as it is
        return None
    return None


def _same(got: torch.Tensor, want: object) -> bool:
    if not isinstance(want, torch.Tensor) or got.shape != want.shape or got.dtype != want.dtype:
        return False
    relative = 1e-5 if want.dtype == torch.float32 else 2e-2
    return torch.allclose(got, want, rtol=relative, atol=1e-6)
